// What must never be reached: servers on this machine's loopback that count who calls.
import net from 'node:net';

export class Canary {
  static async during(t) {
    const canary = new Canary();
    t.after(() => canary.end());
    await canary.start();
    return canary;
  }

  calls = [];

  async start(port = 0, hosts = ['127.0.0.1', '::1']) {
    this.servers = [];
    for (const host of hosts) {
      const server = net.createServer((socket) => {
        this.calls.push(`${host} from ${socket.remoteAddress}:${socket.remotePort}`);
        socket.on('error', () => {});
        socket.end('HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nConnection: close\r\n\r\ncanary');
      });
      await new Promise((resolve, reject) => {
        server.on('error', reject);
        server.listen(port, host, resolve);
      });
      port = server.address().port;
      this.servers.push(server);
    }
    this.port = port;
  }

  end() {
    return Promise.all(this.servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

// Hosts of this machine, its network, or a cloud's metadata service, as URLs may have them.
export const insideHosts = [
  '127.0.0.1', '127.1', '127.0.1', '2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '017700000001',
  '127.0.0.1.', '127.255.255.254', '0', '0.0.0.0', 'localhost', 'LOCALHOST.', 'a.localhost',
  '%31%32%37.0.0.1', '%31%32%37.1', '１２７.0.0.1', '①②⑦.0.0.1', '127。0。0。1',
  '[::1]', '[0:0:0:0:0:0:0:1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]',
  '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[fe80::1%25lo]', '[fe80::1]', '[fd00:ec2::254]',
  '10.0.0.1', '172.16.0.1', '192.168.0.1', '100.100.100.200', '169.254.169.254', '2852039166',
  '127.000.000.001', '0x7f000001.', '00000000000177.0.0.1', '0x00000000000000007f000001', '6425673729', '3232235521',
  '127.0.0.1%2e', '127.0.0.1%00.example.com', '127.0.0.1%0d%0a', '[::ffff:169.254.169.254]', '[0:0:0:0:0:ffff:7f00:0001]',
  '[::ffff:0:127.0.0.1]', '[2001:0:7f00:1::]', '[64:ff9b:1::7f00:1]', '[64:ff9b::169.254.169.254]', '[fec0::1]', '[ff02::1]',
  '[100::1]', '[2001:db8::1]', '[3fff::1]', '[5f00::1]', '[fe80::5efe:127.0.0.1]', '[2600::5efe:127.0.0.1]',
  '[2600::200:5efe:10.0.0.1]', '[::1%25lo]', '192.88.99.1', '240.0.0.1', '203.0.113.1',
  '0xa9.254.0xa9.254', '168.63.129.16', '192.0.0.192', '198.18.0.1', '224.0.0.1', '255.255.255.255',
];

// What some reader of URLs takes for one of those.
export const insideTricks = (port) => [
  `http://example.com\\@127.0.0.1:${port}/v.mp4`,
  `http://127.0.0.1:${port}\\@example.com/v.mp4`,
  `http://example.com:80@127.0.0.1:${port}/v.mp4`,
  `http://example.com%2f@127.0.0.1:${port}/v.mp4`,
  `http://127.0.0.1:${port}#@example.com/v.mp4`,
  `http://127.0.0.1:${port}?@example.com/v.mp4`,
  `http:///127.0.0.1:${port}/v.mp4`,
  `http:127.0.0.1:${port}/v.mp4`,
  `http://127.0.0.1:${port}\t/v.mp4`,
  ` http://127.0.0.1:${port}/v.mp4`,
  `http://127.0.0.1%20:${port}/v.mp4`,
  `http://local\nhost:${port}/v.mp4`,
  `//127.0.0.1:${port}/v.mp4`,
  `file:///etc/passwd`,
  `gopher://127.0.0.1:${port}/_GET`,
  `dict://127.0.0.1:${port}/stats`,
  `ftp://127.0.0.1:${port}/v.mp4`,
  `http://[127.0.0.1]:${port}/v.mp4`,
  `http://[::1].example.com:${port}/v.mp4`,
  `http://a:b@127.0.0.1:${port}/v.mp4`,
  `http://a@b@127.0.0.1:${port}/v.mp4`,
  `HTTP://127.0.0.1:0${port}/v.mp4`,
  `http://127.0.0.1:${port + 65536}/v.mp4`,
  `http://127.0.0.1:-${port}/v.mp4`,
  `http://\u00ad127.0.0.1:${port}/v.mp4`,
  `http://loc\u200balhost:${port}/v.mp4`,
  `http:\\\\127.0.0.1:${port}\\v.mp4`,
  `http:/127.0.0.1:${port}/v.mp4`,
  `-http://127.0.0.1:${port}/v.mp4`,
  `--exec=touch /tmp/x`,
  `ytsearch:127.0.0.1`,
  `ws://127.0.0.1:${port}/v.mp4`,
  `rtmp://127.0.0.1:${port}/v`,
  `tftp://127.0.0.1:${port}/v.mp4`,
  `data:video/mp4;base64,AAAA`,
  `unix:/run/x.sock`,
  `concat:http://127.0.0.1:${port}/v.mp4`,
];

