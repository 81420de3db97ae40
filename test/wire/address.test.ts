/**
 * Addresses as text: what is one, judged by node:net; how one is written, by RFC 5952.
 */
import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  formatAddress,
  isIpv4,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isPrivate,
  isUnspecified,
  parseAddress,
} from '../../src/wire/index.ts';

const words = new Int32Array(4);

function parsed(text: string): number[] {
  assert.notEqual(parseAddress(text, words), 0, text);
  return [...words];
}

function canonical(text: string): string {
  const [a, b, c, d] = parsed(text);
  return formatAddress(a, b, c, d);
}

/** What node:net says, with a v4-mapped address taken for the IPv4 address it is. */
function expectedFamily(text: string): number {
  const family = isIP(text);
  if (family !== 6) return family;
  const url = new URL(`http://[${text}]/`);
  return url.hostname.startsWith('[::ffff:') && url.hostname.split(':').length === 5 ? 4 : 6;
}

describe('parseAddress', () => {
  it('gives words', () => {
    assert.deepEqual(parsed('192.0.2.1'), [0, 0, 0xffff, 0xc0000201 | 0]);
    assert.deepEqual(parsed('0.0.0.0'), [0, 0, 0xffff, 0]);
    assert.deepEqual(parsed('255.255.255.255'), [0, 0, 0xffff, -1]);
    assert.deepEqual(parsed('2001:db8::8:800:200c:417a'), [0x20010db8, 0, 0x00080800, 0x200c417a]);
    assert.deepEqual(parsed('::'), [0, 0, 0, 0]);
    assert.deepEqual(parsed('64:ff9b::192.0.2.33'), [0x0064ff9b, 0, 0, 0xc0000221 | 0]);
    assert.deepEqual(parsed('1:2:3:4:5:6:7.8.9.10'), [0x10002, 0x30004, 0x50006, 0x0708090a]);
  });

  it('takes a v4-mapped address for the IPv4 address it is', () => {
    assert.equal(parseAddress('::ffff:192.0.2.1', words), 4);
    assert.equal(parseAddress('::FFFF:c000:201', words), 4);
    assert.equal(parseAddress('::fffe:192.0.2.1', words), 6);
  });

  it('agrees with node:net on what is an address', () => {
    const piece = fc.constantFrom(
      '0',
      '1',
      'ffff',
      'abc',
      '12345',
      'g',
      '',
      ':',
      '::',
      '.',
      '1.2.3.4',
      '255',
      '256',
      '01',
      ' ',
    );
    const joined = fc
      .tuple(fc.array(piece, { maxLength: 10 }), fc.constantFrom(':', '.', ''))
      .map(([p, s]) => p.join(s));
    const text = fc.oneof(joined, fc.ipV4(), fc.ipV6(), fc.ipV4Extended(), fc.string({ maxLength: 12 }));
    fc.assert(
      fc.property(text, candidate => {
        fc.pre(!candidate.includes('%')); // zones are the link's business
        assert.equal(parseAddress(candidate, words), expectedFamily(candidate), candidate);
      }),
      { numRuns: 20_000 },
    );
  });

  it('refuses near misses', () => {
    const wrong = [
      '',
      '1.2.3',
      '1.2.3.4.5',
      '1.2.3.',
      '.1.2.3',
      '1..2.3',
      '01.2.3.4',
      '1.2.3.256',
      ' 1.2.3.4',
      '1.2.3.4 ',
    ];
    wrong.push(
      ':',
      ':::',
      '1:',
      ':1',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '1:2:3:4:5:6:7:8::',
      '12345::',
    );
    wrong.push(
      '::1.2.3',
      '::1.2.3.4:5',
      '1:2:3:4:5:6:7:1.2.3.4',
      '::g',
      'fe80::1%eth0',
      '::1.2.3.04',
      '1.2.3.4::',
    );
    for (const text of wrong) assert.equal(parseAddress(text, words), 0, text);
  });
});

describe('formatAddress', () => {
  it('follows the examples of RFC 5952', () => {
    const examples: [string, string][] = [
      ['2001:0db8::0001', '2001:db8::1'], // §4.1
      ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'], // §4.2.1
      ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'], // §4.2.2
      ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'], // §4.2.3, the longest run
      ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'], // §4.2.3, the first of two
      ['2001:DB8:AAAA:BBBB:CCCC:DDDD:EEEE:AAAA', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa'], // §4.3
      ['0:0:0:0:0:0:0:1', '::1'],
      ['0:0:0:0:0:0:0:0', '::'],
      ['1:0:0:0:0:0:0:0', '1::'],
      ['::ffff:192.0.2.1', '192.0.2.1'],
    ];
    for (const [text, expected] of examples) assert.equal(canonical(text), expected);
  });

  it('gives a text that parses to the same words', () => {
    const word = fc.oneof(fc.integer(), fc.constantFrom(0, 1, 0xffff, 0x10000, -1));
    fc.assert(
      fc.property(word, word, word, word, (a, b, c, d) => {
        const text = formatAddress(a, b, c, d);
        assert.equal(isIP(text), isIpv4(a, b, c) ? 4 : 6);
        assert.deepEqual(parsed(text), [a, b, c, d]);
      }),
      { numRuns: 2000 },
    );
  });

  it('writes IPv6 as the URL parser does', () => {
    fc.assert(
      fc.property(fc.ipV6(), text => {
        fc.pre(expectedFamily(text) === 6);
        assert.equal(`[${canonical(text)}]`, new URL(`http://[${text}]/`).hostname);
      }),
    );
  });
});

describe('ranges', () => {
  const cases: [string, (a: number, b: number, c: number, d: number) => boolean, string[], string[]][] = [
    [
      'loopback',
      isLoopback,
      ['127.0.0.1', '127.255.255.255', '::1'],
      ['128.0.0.1', '126.0.0.1', '::', '::2', '::7f00:1'],
    ],
    [
      'link-local',
      isLinkLocal,
      ['169.254.0.1', '169.254.255.255', 'fe80::1', 'febf::1'],
      ['169.253.0.1', '169.255.0.1', 'fec0::1', 'fe7f::1', '::a9fe:1'],
    ],
    [
      'private',
      isPrivate,
      ['10.0.0.1', '10.255.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fdff::1'],
      ['11.0.0.1', '9.9.9.9', '172.15.0.1', '172.32.0.1', '192.169.0.1', '192.167.0.1', 'fb00::1', 'fe00::1'],
    ],
    [
      'multicast',
      isMulticast,
      ['224.0.0.1', '239.255.255.255', '255.255.255.255', 'ff02::1'],
      ['223.0.0.1', '240.0.0.1', 'fe00::1'],
    ],
    ['unspecified', isUnspecified, ['0.0.0.0', '::'], ['0.0.0.1', '::1', '1::', '::1:0:0']],
  ];
  for (const [name, test, inside, outside] of cases) {
    it(`${name}: both edges`, () => {
      for (const text of inside)
        assert.equal(test(...(parsed(text) as [number, number, number, number])), true, text);
      for (const text of outside)
        assert.equal(test(...(parsed(text) as [number, number, number, number])), false, text);
    });
  }
});
