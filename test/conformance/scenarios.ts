// What a whole RFC 8684 has to stand, scenario by scenario, and which tests play it with our stack as the client and as the
// server. A test is named by its file and a part of its title; docs/RFC8684.md has the table (rules-table.ts).

/** Where a scenario is played. */
export interface Scenario {
  readonly what: string;
  readonly section: string;
  /** `file: part of a title`; tests with both roles, and those of one. */
  readonly both?: readonly string[];
  readonly client?: readonly string[];
  readonly server?: readonly string[];
}

export const SCENARIOS: readonly Scenario[] = [
  {
    what: 'version 0 and unknown versions from old peers',
    section: '3.1',
    client: ['conformance/handshake: SYN/ACKs of every version'],
    server: [
      'conformance/handshake: SYNs of every version',
      'conformance/steps: the SYN of a version 0 peer',
      'mptcp/capable: a higher version in the SYN',
      'mptcp/capable: version 0 in the SYN',
    ],
  },
  {
    what: 'flags A to H in every combination',
    section: '3.1',
    client: ['conformance/handshake: SYN/ACKs of every version with every set of flags'],
    server: [
      'conformance/handshake: SYNs of every version with every set of flags',
      'conformance/roles: third ACKs with every set of flags',
    ],
  },
  {
    what: 'keys that collide',
    section: '3.1',
    client: ['mptcp/capable: a key whose token is in use is drawn again'],
    server: [
      'conformance/handshake: a server whose keys collide draws again',
      'conformance/roles: a third ACK whose two keys are the same',
    ],
  },
  {
    what: 'packets of MP_CAPABLE lost, doubled, out of order, at each step',
    section: '3.1',
    both: [
      'mptcp/capable: lost once, client speaks first',
      'mptcp/capable: doubled, client speaks first',
      'mptcp/capable: lost once, nobody speaks',
      'mptcp/capable: server speaks first and the third ACK was lost',
    ],
    client: [
      'conformance/handshake: a SYN that was lost',
      'mptcp/capable: a late copy of the SYN/ACK',
      'mptcp/race: the answer with MP_CAPABLE comes first',
    ],
    server: [
      'mptcp/capable: the third ACK overtaken by data',
      'mptcp/capable: the first data overtaken by the second',
      'mptcp/rare: the SYN/ACK repeated: keys come with the repetition',
    ],
  },
  {
    what: 'packets of MP_JOIN lost, doubled, out of order, at each step',
    section: '3.2',
    both: [
      'mptcp/join: join …',
      'mptcp/join: the fourth ACK lost',
      'conformance/steps: of a join late, data of both ends before it',
    ],
    client: ['mptcp/rare: the third ACK of a join that is never answered'],
    server: [
      'conformance/steps: the SYN of a join repeated late',
      'mptcp/dss: data on a joined subflow before its third ACK',
    ],
  },
  { what: 'simultaneous open', section: '3.1', both: ['mptcp/simultaneous: both ends open at once'] },
  {
    what: 'MP_CAPABLE with data retransmitted, split, joined with what follows',
    section: '3.1',
    client: [
      'mptcp/capable: lost once, client speaks first',
      'conformance/handshake: MP_CAPABLE and in a repeated DSS',
    ],
    server: [
      'conformance/steps: the first data with MP_CAPABLE',
      'conformance/steps: the first data joined with what follows it',
      'conformance/steps: the first data as MP_CAPABLE and again as DSS',
    ],
  },
  {
    what: 'a join before the connection is confirmed',
    section: '3.1, 3.2',
    client: ['mptcp/join: no join before a DSS has arrived'],
    server: ['conformance/handshake: a join before the connection is confirmed'],
  },
  {
    what: 'number and rate of joins',
    section: '3.2, 3.9.2',
    client: [
      'conformance/addresses: of a flood of announced addresses',
      'mptcp/paths: ever more rarely, never in a storm',
      'mptcp/paths: joins are reset is not joined in a storm',
      'mptcp/join: a limit reached is no proof',
    ],
    server: [
      'conformance/handshake: SYNs of joins that go no further',
      'mptcp/join: joins beyond the limit are refused',
    ],
  },
  {
    what: 'joins to an advertised port',
    section: '3.2, 3.4.1',
    both: [
      'mptcp/signals: with a port, the join goes to that port',
      'mptcp/signals: IPv6, with and without a port',
    ],
    client: ['conformance/addresses: announced again with another port'],
    server: ['mptcp/join: a join arrives at another port and address'],
  },
  {
    what: 'the ends of subflows and of the connection in every order, each packet lost',
    section: '3.3.3',
    both: [
      'conformance/close: each packet lost once',
      'mptcp/close: each packet of the end lost once',
      'mptcp/close: subflows are closed by FIN after both DATA_FINs',
      'mptcp/capable: a client that finishes without a byte',
    ],
    server: ['mptcp/dss: a DATA_FIN that overtakes data'],
    client: ['mptcp/close: half-close'],
  },
  {
    what: 'no subflow for a while, then a join resumes (break before make)',
    section: '3.3.3',
    both: [
      'conformance/steps: without a subflow for a while',
      'mptcp/paths: all subflows gone, a join resumes',
      'mptcp/paths: both ends end after closeTimeoutMs',
    ],
    server: ['mptcp/rare: a server that joined again and says nothing'],
  },
  {
    what: 'MP_FASTCLOSE, repeated, lost, crossing',
    section: '3.5',
    both: [
      'conformance/close: an unanswered MP_FASTCLOSE of the',
      'mptcp/close: aborts with … subflow(s)',
      'mptcp/close: of a fast close lost',
      'mptcp/close: both abort at once',
    ],
    client: ['mptcp/close: MP_FASTCLOSE unanswered is sent three times more'],
    server: ['mptcp/close: RST with MP_FASTCLOSE ends', 'mptcp/close: MP_FASTCLOSE with a wrong key'],
  },
  {
    what: 'MP_FAIL and the infinite mapping, one subflow and several, each direction',
    section: '3.7',
    both: [
      'mptcp/fallback: speaks first: MP_FAIL, infinite mapping, TCP',
      'conformance/steps: payload changed in both directions at once',
      'conformance/roles: on one of two subflows: MP_FAIL on a reset',
      'conformance/data: the infinite mapping has length 0',
      'conformance/data: after the infinite mapping only TCP counts',
    ],
    server: [
      'mptcp/fallback: MP_FAIL lost at first',
      'conformance/data: a wrong checksum on an only subflow after another',
      'mptcp/fallback: an infinite mapping with two subflows is refused',
    ],
  },
  {
    what: 'data without a mapping is held, then the subflow reset',
    section: '3.3.1, 3.7',
    both: [
      'conformance/roles: held, then reset',
      'conformance/roles: is acknowledged without DATA_ACK: reset',
      'mptcp/fallback: options lost on one of two subflows',
    ],
    server: [
      'mptcp/dss: bytes without a mapping are acknowledged',
      'mptcp/dss: a whole receive window without a mapping',
    ],
  },
  {
    what: 'mappings that contradict each other',
    section: '3.3.1',
    both: ['conformance/roles: bytes mapped twice in different ways'],
    server: ['mptcp/dss: a mapping of the same bytes that disagrees', 'mptcp/dss: a mapping for other bytes'],
  },
  {
    what: 'a DATA_ACK beyond what was sent',
    section: '3.3.2',
    both: ['conformance/roles: a DATA_ACK beyond what'],
    server: ['conformance/data: a DATA_ACK one beyond', 'mptcp/dss: a DATA_ACK beyond what was sent'],
  },
  {
    what: 'checksums asked for by one side only',
    section: '3.1',
    both: ['mptcp/capable: checksums asked for by the'],
    server: [
      'mptcp/dss: checksum against the negotiation',
      'conformance/roles: third ACKs with every set of flags',
    ],
  },
  {
    what: 'ADD_ADDR repeated, lost, not echoed',
    section: '3.4.1',
    both: ['mptcp/signals: ADD_ADDR lost is repeated until echoed'],
    client: ['conformance/addresses: an announcement that the peer forgets'],
    server: [
      'mptcp/signals: ADD_ADDR never echoed',
      'mptcp/rare: an address that the client announces is echoed',
    ],
  },
  {
    what: 'ADD_ADDR with identifiers used again, other ports, unusable addresses, the other family',
    section: '3.4.1',
    client: [
      'conformance/addresses: an identifier that is given another address',
      'conformance/addresses: announced again with another port',
      'conformance/addresses: private addresses of a host',
      'conformance/addresses: that nobody can be reached at',
      'conformance/addresses: an address of the other family',
      'conformance/addresses: a path over IPv6 joins',
      'mptcp/signals: a wrong HMAC is ignored',
    ],
    server: [
      'mptcp/rare: addresses are for clients to join',
      'mptcp/rare: an address that makes no sense',
      'conformance/addresses: an announced address has the identifier',
    ],
  },
  {
    what: 'REMOVE_ADDR, of the initial subflow too',
    section: '3.4.2',
    both: ['conformance/steps: the address of the first subflow is lost'],
    client: ['conformance/addresses: an address that was withdrawn'],
    server: [
      'mptcp/signals: REMOVE_ADDR of unknown addresses',
      'mptcp/signals: REMOVE_ADDR of a dead path',
      'conformance/addresses: an announced address that goes is withdrawn',
    ],
  },
  {
    what: 'MP_TCPRST, transient and permanent',
    section: '3.6',
    both: ['conformance/roles: reset of a joined subflow, and the connection goes on'],
    client: [
      'conformance/addresses: a transient reset of a subflow in use',
      'conformance/addresses: after a permanent reset',
      'conformance/addresses: a permanent reset of the only subflow',
    ],
  },
  {
    what: 'TCP Fast Open',
    section: 'B',
    both: [
      'mptcp/fast-open: T1, T3, T4',
      'mptcp/fast-open: fallback: a box removes',
      'api/fast-open: multipath comes of it',
    ],
    client: ['mptcp/fast-open: what the SYN/ACK leaves out'],
    server: ['mptcp/fast-open: the server answers before it has the third ACK'],
  },
  {
    what: 'urgent data',
    section: '3.3.1',
    both: [
      'conformance/roles: data with the urgent pointer',
      'conformance/data: no segment ever has an urgent pointer',
    ],
  },
  {
    what: 'the states of Appendix D',
    section: 'D',
    both: ['conformance/close: each packet lost once', 'conformance/close: another joined … ms later'],
    client: ['mptcp/rare: all was exchanged and the last acknowledgement is lost'],
    server: [
      'conformance/close: the last DATA_ACKs of a server',
      'conformance/close: nothing is kept of a connection once its end',
    ],
  },
];
