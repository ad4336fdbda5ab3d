#!/usr/bin/python3
"""One OpenStack Swift that speaks S3, on free ports of the loopback: proxy, account,
container and object server in one process, one replica, in a folder that goes when it
ends, which it does when its standard input closes.

    swift_server.py [--page N] [--virtual]     prints one line of JSON: url, endpoint, bucket, ...

It needs a folder with user xattrs (ext4 has them; TMPDIR says where)."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from urllib.parse import quote

import eventlet

eventlet.patcher.monkey_patch(all=False, socket=True, select=True, thread=True)

from eventlet import wsgi  # noqa: E402
from swift.common import storage_policy, utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import SwiftHttpProtocol, loadapp  # noqa: E402

ACCESS_KEY, SECRET_KEY, BUCKET = "test:tester", "testing", "reelay-test"
# Buckets are also hosts below it; names below localhost are this machine's (RFC 6761).
DOMAIN = "s3.localhost"
SERVERS = ("account", "container", "object")

SWIFT_CONF = """
[swift-hash]
swift_hash_path_prefix = reelay
swift_hash_path_suffix = reelay
[storage-policy:0]
name = one
default = yes
"""

BACKEND_CONF = """
[DEFAULT]
devices = {folder}/devices
mount_check = false
swift_dir = {folder}
bind_ip = 127.0.0.1
bind_port = {port}
fallocate_reserve = 0
disable_fallocate = true
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
container_update_timeout = 30
"""

PROXY_CONF = """
[DEFAULT]
swift_dir = {folder}
bind_ip = 127.0.0.1
bind_port = {port}
cors_expose_headers = etag
strict_cors_mode = false
[pipeline:main]
pipeline = catch_errors gatekeeper s3api tempauth bulk copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
node_timeout = 60
recoverable_node_timeout = 60
conn_timeout = 10
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
storage_domain = {domain}
s3_acl = false
allow_multipart_uploads = true
max_bucket_listing = {page}
max_parts_listing = {page}
cors_preflight_allow_origin = *
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


class Cache:
    """What a memcached would remember, for the one process that asks."""

    def __init__(self):
        self.kept = {}

    def get(self, key, **_):
        return self.kept.get(key)

    def set(self, key, value, **_):
        # As a memcached gives it back: tuples have become lists.
        self.kept[key] = json.loads(json.dumps(value))

    def delete(self, key, **_):
        self.kept.pop(key, None)

    def incr(self, key, delta=1, **_):
        self.kept[key] = int(self.kept.get(key) or 0) + delta
        return self.kept[key]

    def decr(self, key, delta=1, **_):
        return self.incr(key, -delta)


def with_cache(app):
    cache = Cache()

    def call(environ, start_response):
        environ["swift.cache"] = cache
        return app(environ, start_response)

    return call


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def make_ring(folder, name, port):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({"region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": port,
                     "device": "one", "id": 0, "replication_ip": "127.0.0.1",
                     "replication_port": port})
    builder.rebalance()
    builder.get_ring().save(os.path.join(folder, f"{name}.ring.gz"))


def serve(socket, app):
    with open(os.devnull, "w") as nowhere:
        wsgi.server(socket, app, log=nowhere, log_output=False, protocol=SwiftHttpProtocol,
                    keepalive=True, socket_timeout=120)


def start(folder, page):
    os.makedirs(f"{folder}/devices/one")
    write(f"{folder}/swift.conf", SWIFT_CONF)
    utils.SWIFT_CONF_FILE = f"{folder}/swift.conf"
    utils.validate_hash_conf()
    storage_policy.reload_storage_policies()
    utils.DEFAULT_LOCK_TIMEOUT = 60
    for kind in SERVERS:
        socket = eventlet.listen(("127.0.0.1", 0), backlog=1024)
        port = socket.getsockname()[1]
        write(f"{folder}/{kind}.conf", BACKEND_CONF.format(folder=folder, port=port, kind=kind))
        make_ring(folder, kind, port)
        eventlet.spawn(serve, socket, loadapp(f"{folder}/{kind}.conf"))
    socket = eventlet.listen(("127.0.0.1", 0), backlog=1024)
    port = socket.getsockname()[1]
    write(f"{folder}/proxy.conf", PROXY_CONF.format(folder=folder, port=port, page=page,
                                                      domain=DOMAIN))
    eventlet.spawn(serve, socket, with_cache(loadapp(f"{folder}/proxy.conf")))
    return f"http://127.0.0.1:{port}"


def ask(method, url, **headers):
    request = urllib.request.Request(url, method=method, headers={
        name.replace("_", "-"): value for name, value in headers.items()})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return answer.headers


def make_bucket(endpoint):
    token = ask("GET", f"{endpoint}/auth/v1.0", X_Auth_User=ACCESS_KEY, X_Auth_Key=SECRET_KEY)
    account, token = f"{endpoint}/v1/AUTH_test", token["X-Auth-Token"]
    # Where pages of any site may read and write with a URL that is signed.
    ask("PUT", f"{account}/{BUCKET}", X_Auth_Token=token,
        X_Container_Meta_Access_Control_Allow_Origin="*",
        X_Container_Meta_Access_Control_Expose_Headers="ETag")
    ask("PUT", f"{account}/{quote(BUCKET + '+segments')}", X_Auth_Token=token)


def describe(endpoint, style):
    key, secret = quote(ACCESS_KEY, safe=""), quote(SECRET_KEY, safe="")
    if style == "virtual":
        endpoint = endpoint.replace("127.0.0.1", DOMAIN)
    query = f"endpoint={endpoint}&region=us-east-1&style={style}"
    return {"url": f"s3://{key}:{secret}@{BUCKET}?{query}", "endpoint": endpoint, "bucket": BUCKET,
            "bare": f"s3://{BUCKET}?{query}", "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY,
            "region": "us-east-1", "wrong": f"s3://{key}:wrong@{BUCKET}?{query}",
            "missing": f"s3://{key}:{secret}@no-such-bucket?{query}"}


def wait_for_the_end():
    try:
        while eventlet.hubs.trampoline(0, read=True) is None and os.read(0, 4096):
            pass
    except OSError:  # nothing that could be waited for
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", type=int, default=1000, help="how many rows a list has at most")
    parser.add_argument("--virtual", action="store_const", dest="style", default="path",
                        const="virtual", help="URLs whose host is the bucket's")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = tempfile.mkdtemp(prefix="reelay-swift-")
    try:
        endpoint = start(folder, arguments.page)
        make_bucket(endpoint)
        print(json.dumps(describe(endpoint, arguments.style)), flush=True)
        wait_for_the_end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
