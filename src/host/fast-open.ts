// Decides who may use TCP Fast Open: the cookies a server grants and believes, and what a client remembers of
// servers (cookie, segment size, failures) and of black holes. The switches are Linux's (tcp_fastopen).
// Read: RFC 7413 §4.1, §5.1, §7; Linux's ip-sysctl. Before: host.connect, host/incoming. After:
// tcp/fast-open.
import {
  type CounterName,
  type Entropy,
  type Environment,
  FastOpenClient,
  type FastOpenMemory,
  FastOpenServer,
  type NetworkInterface,
} from '../tcp/index.ts';
import type { Segment } from '../wire/index.ts';
import type { Config } from './config.ts';
import { HostError } from './errors.ts';
import type { Listener } from './listener.ts';
import { siphash24 } from './siphash.ts';

/** Bits of `config.fastOpen` (Linux: net.ipv4.tcp_fastopen). */
export const FastOpenBit = {
  CLIENT: 0x1,
  SERVER: 0x2,
  /** Clients send data without a cookie. */
  CLIENT_NO_COOKIE: 0x4,
  /** Servers take data without a cookie. */
  SERVER_NO_COOKIE: 0x200,
  /** Every listener takes part, without being asked to. */
  ALL_LISTENERS: 0x400,
} as const;

/** What is remembered of one server, as seen from one local address. */
interface ServerRecord {
  mss: number;
  cookie: Uint8Array | null;
  /** The cookie came in the option from before it had a number. */
  experimental: boolean;
  /** Times that a cookie was asked for and none came. */
  unheard: number;
  /** SYNs with data lost in a row, and when the last one was. */
  losses: number;
  lastLossMs: number;
}

/** The Fast Open memory of a host. */
export class FastOpenTable {
  private readonly entropy: Entropy;
  private readonly counters: Record<CounterName, number>;
  private readonly servers: Map<string, ServerRecord> = new Map();
  private ownKey: Uint8Array | null = null;
  private blackHoles = 0;
  private blackHoleMs = 0;

  constructor(env: Environment<Config>) {
    this.entropy = env.entropy;
    this.counters = env.counters;
  }

  /** For the SYN of a client; null when it is to be one like any other. */
  attempt(
    config: Config,
    networkInterface: NetworkInterface,
    remoteWords: Int32Array,
    now: number,
  ): FastOpenClient | null {
    if ((config.fastOpen & FastOpenBit.CLIENT) === 0) return null;
    const name = `${networkInterface.words.join()} ${remoteWords.join()}`;
    const known = this.servers.get(name);
    if (this.isBlackHole(config, now) || isFailing(known, now)) return null;
    const noCookie = (config.fastOpen & FastOpenBit.CLIENT_NO_COOKIE) !== 0;
    const cookie = noCookie ? null : (known?.cookie ?? NO_COOKIE);
    // Linux asks once in the option from before it had a number where the other was not heard.
    const asksOtherwise = config.asLinux && known?.cookie === null && known.unheard === 1;
    return new FastOpenClient({
      cookie,
      experimental: asksOtherwise || (known?.experimental ?? false),
      carries: noCookie || (known?.cookie ?? null) !== null,
      mss: known?.mss ?? 0,
      memory: this.memoryOf(name, config),
    });
  }

  /** For the answer to a SYN; null when it is to be one like any other. */
  answer(listener: Listener, segment: Segment, now: number): FastOpenServer | null {
    const { config } = listener;
    const { counters } = this;
    const asks = segment.fastOpenLength;
    if (asks === 0) counters.TCPFastOpenCookieReqd++;
    if ((config.fastOpen & FastOpenBit.SERVER) === 0 || listener.fastOpenQueue === 0) return null;
    if (asks < 0 && segment.payloadLength === 0) return null;
    if (!listener.admitsEarly(now)) {
      counters.TCPFastOpenListenOverflow++;
      return null;
    }
    if ((config.fastOpen & FastOpenBit.SERVER_NO_COOKIE) !== 0) return EARLY;
    if (asks < 0) return null;
    const [key, ...older] = this.keysOf(listener);
    const cookie = cookieFor(key, segment);
    const granted = { grant: cookie, experimental: segment.fastOpenExperimental };
    if (asks === 0) return new FastOpenServer({ ...granted, early: false });
    if (matches(cookie, segment)) return EARLY;
    // RFC 7413 §4.1.2: a cookie of the key before is still good, and the new one goes with the answer.
    if (older.some(old => matches(cookieFor(old, segment), segment))) {
      counters.TCPFastOpenPassiveAltKey++;
      return new FastOpenServer({ ...granted, early: true });
    }
    counters.TCPFastOpenPassiveFail++;
    return new FastOpenServer({ ...granted, early: false });
  }

  private keysOf(listener: Listener): readonly Uint8Array[] {
    if (listener.fastOpenKeys.length > 0) return listener.fastOpenKeys;
    if (listener.config.fastOpenKey !== RANDOM_KEY) return keysFrom(listener.config.fastOpenKey);
    if (this.ownKey === null) {
      this.ownKey = new Uint8Array(KEY_BYTES);
      this.entropy.randomBytes(this.ownKey);
    }
    return [this.ownKey];
  }

  private memoryOf(name: string, config: Config): FastOpenMemory {
    return {
      answered: ({ mss, cookie, experimental, synLost, unheard }, now) => {
        const before = this.servers.get(name);
        this.servers.delete(name);
        if (this.servers.size >= MOST_SERVERS) {
          for (const oldest of this.servers.keys()) {
            this.servers.delete(oldest);
            break;
          }
        }
        this.servers.set(name, {
          mss: mss > 0 ? mss : (before?.mss ?? 0),
          cookie: cookie ?? before?.cookie ?? null,
          experimental: cookie === null ? (before?.experimental ?? false) : experimental,
          unheard: (before?.unheard ?? 0) + (unheard ? 1 : 0),
          losses: synLost ? (before?.losses ?? 0) + 1 : 0,
          lastLossMs: synLost ? now : 0,
        });
      },
      blackHole: now => {
        if (config.fastOpenBlackholeMs === 0) return;
        this.blackHoles++;
        this.blackHoleMs = now;
        this.counters.TCPFastOpenBlackhole++;
      },
      passes: () => {
        this.blackHoles = 0;
      },
    };
  }

  /** As in Linux: paused for the time configured, doubled each time up to 64 times as long. */
  private isBlackHole(config: Config, now: number): boolean {
    if (this.blackHoles === 0 || config.fastOpenBlackholeMs === 0) return false;
    const factor = 2 ** Math.min(this.blackHoles - 1, 6);
    return now < this.blackHoleMs + factor * config.fastOpenBlackholeMs;
  }
}

/** Keys of 16 bytes from Linux's notation, the newest first: `00112233-…[,44556677-…]`. Throws EINVAL. */
export function keysFrom(text: string): Uint8Array[] {
  const keys = text.split(',');
  if (keys.length > 2 || !keys.every(key => /^[0-9a-f]{8}(-[0-9a-f]{8}){3}$/i.test(key))) {
    throw new HostError(
      'EINVAL',
      `'${text}' is no Fast Open key: four times eight hexadecimal digits with hyphens between, ` +
        'or two such keys with a comma between',
    );
  }
  return keys.map(key => {
    const bytes = new Uint8Array(KEY_BYTES);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const word of key.split('-')) view.setUint32(4 * at++, Number.parseInt(word, 16), true);
    return bytes;
  });
}

/** Keys of 16 bytes from 16 or 32 (Linux: TCP_FASTOPEN_KEY), the newest first. Throws EINVAL. */
export function splitKeys(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length !== KEY_BYTES && bytes.length !== 2 * KEY_BYTES) {
    throw new HostError('EINVAL', `a Fast Open key has 16 bytes, two have 32, not ${bytes.length}`);
  }
  const keys = [bytes.slice(0, KEY_BYTES)];
  if (bytes.length > KEY_BYTES) keys.push(bytes.slice(KEY_BYTES));
  return keys;
}

/** RFC 7413 §4.1.3.1: SYNs with data that are lost two in a row do not pass: none for a time that doubles. */
function isFailing(known: ServerRecord | undefined, now: number): boolean {
  if (known === undefined || known.losses < 2) return false;
  return now < known.lastLossMs + PAUSE_MS * 2 ** Math.min(known.losses, 10);
}

/** RFC 7413 §4.1.2, as Linux does it: the addresses of the packet under the key. */
function cookieFor(key: Uint8Array, segment: Segment): Uint8Array {
  if (segment.ipVersion === 4) {
    words.setInt32(0, segment.src3);
    words.setInt32(4, segment.dst3);
    return siphash24(key, addresses, 8);
  }
  const { src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = segment;
  let at = 0;
  for (const word of [src0, src1, src2, src3, dst0, dst1, dst2, dst3]) words.setInt32(4 * at++, word);
  return siphash24(key, addresses, 32);
}

function matches(cookie: Uint8Array, segment: Segment): boolean {
  if (segment.fastOpenLength !== cookie.length) return false;
  let differs = 0;
  for (let i = 0; i < cookie.length; i++) differs |= cookie[i] ^ segment.fastOpenCookie[i];
  return differs === 0;
}

/** For `config.fastOpenKey`: one of the host's own. */
export const RANDOM_KEY = 'random';

const KEY_BYTES = 16;
/** Servers remembered. */
const MOST_SERVERS = 1024;
const PAUSE_MS = 60_000;
const NO_COOKIE: Uint8Array = new Uint8Array(0);
const EARLY: FastOpenServer = new FastOpenServer({ grant: null, early: true });
const addresses: Uint8Array = new Uint8Array(32);
const words: DataView = new DataView(addresses.buffer);
