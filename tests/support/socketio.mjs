// A Socket.IO client that remembers everything it was told.
import { require } from './packages.mjs';
import { addWitness, waitFor } from './wait.mjs';

const { io } = require('socket.io-client');

export const TRANSPORTS = [['websocket'], ['polling'], ['polling', 'websocket']];

export class Gateway {
  events = []; // [name, data]
  errors = []; // connect_error
  connects = 0;
  known = 1; // so many of them were waited for

  constructor(server, { namespace = '/file-processing', ...options } = {}) {
    this.socket = io(`${server.origin}${namespace}`, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 50, ...options });
    this.socket.on('connect', () => this.connects++);
    this.socket.onAny((...event) => this.events.push(event));
    this.socket.on('connect_error', (error) => this.errors.push(error));
    this.forgetWitness = addWitness(() => `--- ${this.socket.nsp}: ${this.errors} ${JSON.stringify(this.events.slice(-8))}`);
  }

  leave() {
    this.forgetWitness();
    this.socket.disconnect();
  }

  // Connects and waits for the namespace; the test ends with it gone.
  static async during(t, server, options) {
    const gateway = new Gateway(server, options);
    t.after(() => gateway.leave());
    await waitFor(() => gateway.socket.connected, 'a connection');
    return gateway;
  }

  get engine() {
    return this.socket.io.engine;
  }

  ask(event, ...args) {
    return this.socket.timeout(60_000).emitWithAck(event, ...args);
  }

  subscribe(fileId) {
    return this.ask('subscribe:file', { fileId });
  }

  named(name) {
    return this.events.filter(([event]) => event === name).map(([, data]) => data);
  }

  until(name, fits = () => true, what = name) {
    return waitFor(() => this.named(name).find(fits), what);
  }

  // The whole life of a file as it was shown: "20 processing", "completed", ...
  life(fileId) {
    return this.events
      .filter(([event, data]) => event.startsWith('processing:') && data.fileId === fileId)
      .map(([event, { progress, status }]) => {
        const name = event.slice('processing:'.length);
        return name === 'progress' ? `${progress} ${status}` : name;
      });
  }

  // Cuts the connection as a network does; the client comes back by itself.
  async lose() {
    this.known = this.connects;
    this.engine.close();
    await this.back();
  }

  // Behind a loss, however short it was.
  async back() {
    await waitFor(() => this.connects > this.known && this.socket.connected, 'the connection to come back');
    this.known = this.connects;
  }

  // Everything said before this is answered has been heard.
  async settle() {
    await this.ask('is anybody there');
  }
}
