// Other programs' ways to ask for connections, answered with ours: the agents of `http` and `https`, the
// connector of undici, and the dispatcher of the global `fetch`.
//
// Decides: that all take the options of `connect`, that TLS is Node's own on top, and how the global fetch's
// undici is had, which Node does not export.
// Walk: api/connect makes the socket; Node does the rest.

import {
  type ClientRequestArgs,
  type AgentOptions as HttpAgentOptions,
  Agent as NodeHttpAgent,
} from 'node:http';
import {
  type AgentOptions as HttpsAgentOptions,
  Agent as NodeHttpsAgent,
  type RequestOptions,
} from 'node:https';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import { connect } from './connect.ts';
import { MptcpError } from './errors.ts';
import type { ConnectOptions } from './options.ts';

/** Everything of `connect` that is not the destination. */
export type CarrierOptions = Omit<ConnectOptions, 'port' | 'host'>;

/** An `http.Agent` whose connections are those of `connect` with these options. */
export class HttpAgent extends NodeHttpAgent {
  readonly #carrier: CarrierOptions;

  constructor(carrier: CarrierOptions = {}, options: HttpAgentOptions = {}) {
    super(options);
    this.#carrier = carrier;
  }

  /** What `http` calls. @internal */
  override createConnection(options: ClientRequestArgs): Duplex {
    return connect({ ...(options as ConnectOptions), ...this.#carrier });
  }
}

/** An `https.Agent` whose connections are those of `connect` with these options, TLS on top. */
export class HttpsAgent extends NodeHttpsAgent {
  readonly #carrier: CarrierOptions;

  constructor(carrier: CarrierOptions = {}, options: HttpsAgentOptions = {}) {
    super(options);
    this.#carrier = carrier;
  }

  /** What `https` calls; the agent of Node's remembers TLS sessions. @internal */
  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const { host, port } = options;
    const socket = connect({ host: host ?? 'localhost', port: Number(port), ...this.#carrier });
    return super.createConnection({ ...options, socket } as RequestOptions, callback);
  }
}

/** What undici asks of a connector. */
export interface UndiciDestination {
  readonly hostname: string;
  readonly protocol: string;
  readonly port: string;
  readonly servername?: string | null;
}

/** A connector for undici: `new Agent({ connect: undiciConnector({ … }) })`. */
export function undiciConnector(
  carrier: CarrierOptions = {},
  tls: ConnectionOptions = {},
): (
  destination: UndiciDestination,
  callback: (...result: [error: null, socket: Duplex] | [error: Error, socket: null]) => void,
) => void {
  return ({ hostname, protocol, port, servername }, callback) => {
    const secure = protocol === 'https:';
    const host = hostname.replace(/^\[|\]$/g, '');
    const raw = connect({ host, port: Number(port || (secure ? 443 : 80)), ...carrier });
    const name = servername ?? undefined;
    const socket = secure
      ? tlsConnect({
          ...{ ALPNProtocols: ['http/1.1'], ...tls, socket: raw },
          ...(name === undefined ? {} : { servername: name }),
        })
      : raw;
    const failed = (error: Error): void => callback(error, null);
    // TLS repeats the errors of what it runs over.
    socket.once('error', failed);
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      socket.removeListener('error', failed);
      callback(null, socket);
    });
  };
}

/** A dispatcher for the global `fetch`: `fetch(url, { dispatcher: fetchDispatcher({ … }) })`. */
export function fetchDispatcher(carrier: CarrierOptions = {}, tls: ConnectionOptions = {}): object {
  const UndiciAgent = globalUndiciAgent();
  return new UndiciAgent({ connect: undiciConnector(carrier, tls) });
}

/** The class of the dispatcher that the global fetch uses, which is undici's Agent. */
function globalUndiciAgent(): new (options: object) => object {
  // Node loads undici when fetch is used first.
  fetch('data:,').catch(() => {});
  const dispatchers = globalThis as unknown as Record<symbol, object | undefined>;
  for (const symbol of DISPATCHER_SYMBOLS) {
    const dispatcher = dispatchers[symbol];
    if (dispatcher !== undefined) return dispatcher.constructor as new (options: object) => object;
  }
  throw new MptcpError('ERR_INVALID_ARG_VALUE', {
    sentence: 'the global fetch of this Node has no dispatcher',
    remedy: 'use the package undici with undiciConnector()',
  });
}

/** By undici's versions, the newest first. */
const DISPATCHER_SYMBOLS: readonly symbol[] = [
  Symbol.for('undici.globalDispatcher.2'),
  Symbol.for('undici.globalDispatcher.1'),
];
