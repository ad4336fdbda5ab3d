"""Which Redis a URL names; what is said to one is in the project's end to end tests."""

import unittest

from reelay.errors import Refused, Unreachable

try:
    from redis import exceptions
    from reelay.redis_target import RedisTarget, _trouble
except ImportError:
    RedisTarget = None


@unittest.skipIf(RedisTarget is None, "there is no redis-py")
class Urls(unittest.TestCase):
    def where(self, url):
        target = RedisTarget(url, 1.0, 3600)
        self.addCleanup(target.close)
        return target._client.connection_pool.connection_kwargs

    def test_a_socket_has_the_servers_name_or_that_of_redis_py(self):
        for scheme in ("redis+unix", "unix"):
            where = self.where(f"{scheme}://me:hush@/run/redis.sock?db=2")
            self.assertEqual((where["path"], where["db"], where["username"], where["password"]),
                             ("/run/redis.sock", 2, "me", "hush"))

    def test_a_host_has_a_port_and_a_database(self):
        where = self.where("redis://127.0.0.1:6390/5")
        self.assertEqual((where["host"], where["port"], where["db"]), ("127.0.0.1", 6390, 5))


@unittest.skipIf(RedisTarget is None, "there is no redis-py")
class Troubles(unittest.TestCase):
    def test_what_passes_is_tried_again(self):
        for word in ("OOM", "READONLY", "MASTERDOWN", "BUSY", "MISCONF"):
            self.assertIsInstance(_trouble(exceptions.ResponseError(f"{word} for a while")),
                                  Unreachable)
        self.assertIsInstance(_trouble(exceptions.ReadOnlyError("a replica")), Unreachable)

    def test_what_does_not_is_a_refusal_without_the_report_in_it(self):
        error = exceptions.ResponseError("Command # 2 (PUBLISH job_progress:a {OOM ...}) of pipeline "
                                         "caused error: NOPERM no permissions")
        self.assertIsInstance(_trouble(error), Refused)
        self.assertEqual(str(_trouble(error)), "Redis: NOPERM no permissions")


if __name__ == "__main__":
    unittest.main()
