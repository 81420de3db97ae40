// What Linux's non-blocking sockets answer, call by call: the table of contract.test.ts. Each result was looked
// up in the live kernel, which the test asks again.

const LISTENING = `
listener socket -> ok
listener set SO_REUSEADDR 1 -> ok
listener bind server:7000 -> ok
listener listen 5 -> ok
`;

const CONNECTED = `
${LISTENING}
near socket -> ok
near connect server:7000 -> EINPROGRESS
near poll -> OUT
far accept listener -> ok
`;

/** By what they are about. */
export const SCRIPTS: Readonly<Record<string, string>> = {
  'a fresh socket': `
    near socket -> ok
    near poll -> OUT+HUP
    near sockname -> 0
    near peername -> ENOTCONN
    near recv 10 -> ENOTCONN
    near send text -> EPIPE
    near accept near -> EINVAL
    near get SO_ERROR -> 0
    near get SO_ACCEPTCONN -> 0
    near get SO_TYPE -> 1
    near get SO_DOMAIN -> 2
    near get SO_PROTOCOL -> 6 / 262
    near get TCP_IS_MPTCP -> 0 / 1
    near set TCP_IS_MPTCP 1 -> ENOPROTOOPT
    near shutdown WR -> ENOTCONN
    near poll -> OUT+HUP
    near shutdown RD -> ENOTCONN
    near poll -> IN+OUT+HUP+RDHUP
    near recv 10 -> ""
  `,
  bind: `
    near socket -> ok
    near bind foreign:0 -> EADDRNOTAVAIL
    near bind client:0 -> ok
    near sockname -> ephemeral
    near bind client:0 -> EINVAL
    other socket -> ok
    other bind server:7000 -> ok
    other sockname -> 7000
    third socket -> ok
    third bind server:7000 -> EADDRINUSE
    third bind any:7000 -> EADDRINUSE
    third set SO_REUSEADDR 1 -> ok
    third bind server:7000 -> EADDRINUSE
    other set SO_REUSEADDR 1 -> ok
    third bind server:7000 -> ok
    other listen 1 -> ok
    third listen 1 -> EADDRINUSE
    fourth socket -> ok
    fourth set SO_REUSEADDR 1 -> ok
    fourth bind server:7000 -> EADDRINUSE
  `,
  SO_REUSEPORT: `
    one socket -> ok
    one set SO_REUSEPORT 1 -> ok
    one bind any:7000 -> ok
    one listen 1 -> ok
    two socket -> ok
    two bind any:7000 -> EADDRINUSE
    two set SO_REUSEPORT 1 -> ok
    two bind any:7000 -> ok
    two listen 1 -> ok
  `,
  'connect that succeeds': `
    ${LISTENING}
    near socket -> ok
    near connect server:7000 -> EINPROGRESS
    near poll -> OUT
    near get SO_ERROR -> 0
    near connect server:7000 -> ok
    near connect server:7000 -> EISCONN
    near peername -> 7000
    near sockname -> ephemeral
    near listen 1 -> EINVAL
    near bind client:0 -> EINVAL
    near recv 10 -> EAGAIN
    far accept listener -> ok
    other accept listener -> EAGAIN
    far poll -> OUT
    far sockname -> 7000
    far peername -> ephemeral
    far connect server:7000 -> EISCONN
  `,
  'connect that is refused': `
    near socket -> ok
    near connect server:7001 -> EINPROGRESS
    near poll -> IN+OUT+ERR+HUP+RDHUP / OUT+ERR+HUP
    near connect server:7001 -> ECONNREFUSED
    near poll -> OUT+HUP
    near recv 10 -> ENOTCONN
    near connect server:7001 -> EINPROGRESS
    near poll -> IN+OUT+ERR+HUP+RDHUP / OUT+ERR+HUP
    near get SO_ERROR -> ECONNREFUSED
    near get SO_ERROR -> 0
    near poll -> IN+OUT+HUP+RDHUP / OUT+HUP
    near recv 10 -> "" / ENOTCONN
    near send text -> EPIPE
    near connect server:7001 -> ECONNABORTED
    near connect server:7001 -> EINPROGRESS
  `,
  'an attempt that nobody answers': `
    near socket -> ok
    near connect nowhere:80 -> EINPROGRESS
    near poll -> 0
    near connect nowhere:80 -> EALREADY
    near recv 10 -> EAGAIN
    near send text -> EAGAIN
    near peername -> ENOTCONN
    near sockname -> ephemeral
    near listen 1 -> EINVAL
    near shutdown RDWR -> ok
    near poll -> OUT+ERR+HUP / OUT+HUP
    near connect nowhere:80 -> EINPROGRESS
    near poll -> 0
  `,
  'a listener': `
    ${LISTENING}
    listener poll -> 0
    listener get SO_ACCEPTCONN -> 1
    listener recv 10 -> ENOTCONN
    listener send text -> EPIPE
    listener connect server:7000 -> EISCONN
    listener peername -> ENOTCONN
    listener listen 9 -> ok
    near socket -> ok
    near connect server:7000 -> EINPROGRESS
    listener poll -> IN
    listener shutdown WR -> ok
    listener poll -> IN
    far accept listener -> ok
    listener poll -> 0
    listener shutdown RD -> ok
    listener accept listener -> EINVAL
    listener poll -> OUT+HUP
  `,
  'data, and MSG_PEEK': `
    ${CONNECTED}
    near send hello -> 5
    far poll -> IN+OUT
    far recv 3 MSG_PEEK -> "hel"
    far recv 10 MSG_PEEK -> "hello"
    far recv 2 -> "he"
    far recv 10 MSG_WAITALL -> "llo"
    far recv 10 -> EAGAIN
    far poll -> OUT
    far recv 10 MSG_DONTWAIT -> EAGAIN
    near send more MSG_NOSIGNAL+MSG_DONTWAIT -> 4
    far recv 10 -> "more"
    near send again -> 5
    far poll -> IN+OUT
    far recv 2 MSG_PEEK+MSG_WAITALL -> "ag"
    # Linux's MPTCP does not look at this flag.
    far recv 10 MSG_OOB -> EINVAL / "again" / EINVAL
  `,
  'the peer finishes': `
    ${CONNECTED}
    far send last -> 4
    far shutdown WR -> ok
    far poll -> OUT
    far send more -> EPIPE
    far shutdown WR -> ok
    near poll -> IN+OUT+RDHUP
    near recv 10 -> "last"
    near recv 10 -> ""
    near poll -> IN+OUT+RDHUP
    near send answer -> 6
    far recv 10 -> "answer"
    near shutdown WR -> ok
    near poll -> IN+OUT+HUP+RDHUP
    near send more -> EPIPE
    far poll -> IN+OUT+HUP+RDHUP
    far recv 10 -> ""
    far peername -> ENOTCONN
    near get SO_ERROR -> 0
    near shutdown RDWR -> ENOTCONN
  `,
  SHUT_RD: `
    ${CONNECTED}
    near shutdown RD -> ok
    near poll -> IN+OUT+RDHUP
    near recv 10 -> ""
    far send late -> 4
    near recv 10 -> "late"
  `,
  'a reset': `
    ${CONNECTED}
    far set SO_LINGER 1,0 -> ok
    far get SO_LINGER -> 1,0
    far send gone -> 4
    near poll -> IN+OUT
    far close -> ok
    near poll -> IN+OUT+ERR+HUP+RDHUP
    near recv 10 -> "gone"
    near recv 10 -> ECONNRESET
    near poll -> IN+OUT+HUP+RDHUP
    near recv 10 -> ""
    near send text -> EPIPE
    near get SO_ERROR -> 0
    near peername -> ENOTCONN
  `,
  'a reset, seen by writing': `
    ${CONNECTED}
    far set SO_LINGER 1,0 -> ok
    far close -> ok
    # Our server acknowledges the third ACK, so that our client knows more by then than Linux's.
    near poll -> IN+OUT+ERR+HUP+RDHUP / OUT+ERR+HUP / IN+OUT+ERR+HUP+RDHUP
    near send text -> ECONNRESET
    near send text -> EPIPE
    near recv 10 -> "" / ENOTCONN / ""
    near connect server:7000 -> ECONNABORTED
  `,
  'a reset in the midst of data': `
    ${CONNECTED}
    near connect server:7000 -> ok
    near send hello -> 5
    far recv 10 -> "hello"
    far send world -> 5
    near recv 10 -> "world"
    far set SO_LINGER 1,0 -> ok
    far close -> ok
    near poll -> IN+OUT+ERR+HUP+RDHUP
    near recv 10 -> ECONNRESET
    near recv 10 -> ""
    near connect server:7000 -> EISCONN
  `,
  'a reset after the peer has finished': `
    ${CONNECTED}
    near send unread -> 6
    far poll -> IN+OUT
    far shutdown WR -> ok
    near poll -> IN+OUT+RDHUP
    far close -> ok
    near poll -> IN+OUT+ERR+HUP+RDHUP
    near get SO_ERROR -> EPIPE
    near recv 10 -> ""
  `,
  'a client without Multipath TCP': `
    ${LISTENING}
    near tcpsocket -> ok
    near connect server:7000 -> EINPROGRESS
    near poll -> OUT
    far accept listener -> ok
    far get SO_PROTOCOL -> 6
    far get TCP_IS_MPTCP -> 0
    near send hello -> 5
    far recv 10 -> "hello"
  `,
  'a server without Multipath TCP': `
    listener tcpsocket -> ok
    listener bind server:7000 -> ok
    listener listen 5 -> ok
    near socket -> ok
    near connect server:7000 -> EINPROGRESS
    near poll -> OUT
    far accept listener -> ok
    near get SO_PROTOCOL -> 6 / 262
    near get TCP_IS_MPTCP -> 0
    near send hello -> 5
    far recv 10 -> "hello"
    far send world -> 5
    near recv 10 -> "world"
    far set SO_LINGER 1,0 -> ok
    far close -> ok
    near poll -> IN+OUT+ERR+HUP+RDHUP / OUT+ERR+HUP
    near recv 10 -> ECONNRESET
    near recv 10 -> "" / ENOTCONN
    near send text -> EPIPE
  `,
  'close with unread data resets': `
    ${CONNECTED}
    near send unread -> 6
    far poll -> IN+OUT
    far close -> ok
    near poll -> IN+OUT+ERR+HUP+RDHUP
    near get SO_ERROR -> ECONNRESET
  `,
  'close before it is accepted': `
    ${LISTENING}
    near socket -> ok
    near connect server:7000 -> EINPROGRESS
    near poll -> OUT
    near send early -> 5
    near close -> ok
    far accept listener -> ok
    far recv 10 -> "early"
    far recv 10 -> ""
  `,
  'a listener that closes resets those who wait': `
    ${LISTENING}
    near socket -> ok
    near connect server:7000 -> EINPROGRESS
    near poll -> OUT
    listener close -> ok
    near poll -> IN+OUT+ERR+HUP+RDHUP / OUT+ERR+HUP / IN+OUT+ERR+HUP+RDHUP
    near get SO_ERROR -> ECONNRESET
  `,
  'IPv4 beside IPv6': `
    other socket6 -> ok
    other bind any6:7000 -> ok
    other get IPV6_V6ONLY -> 0
    other set IPV6_V6ONLY 1 -> EINVAL
    other listen 1 -> ok
    third socket -> ok
    third bind any:7000 -> EADDRINUSE
    fourth socket6 -> ok
    fourth set IPV6_V6ONLY 1 -> ok
    fourth bind any6:7001 -> ok
    fifth socket -> ok
    fifth bind any:7001 -> ok
  `,
  'shutdown of both directions': `
    ${CONNECTED}
    near shutdown RDWR -> ok
    near poll -> IN+OUT+HUP+RDHUP
    near recv 10 -> ""
    near send text -> EPIPE
    near peername -> 7000
    far poll -> IN+OUT+RDHUP
    far recv 10 -> ""
    far send late -> 4
    far poll -> IN+OUT+ERR+HUP+RDHUP / IN+OUT+RDHUP
    far get SO_ERROR -> EPIPE / 0
    near peername -> ENOTCONN / 7000
    near get SO_ERROR -> ECONNRESET / 0
  `,
  'one direction, then the other': `
    ${CONNECTED}
    near shutdown RD -> ok
    near shutdown WR -> ok
    near shutdown RD -> ok
    near poll -> IN+OUT+HUP+RDHUP
    far poll -> IN+OUT+RDHUP
    far close -> ok
    near poll -> IN+OUT+HUP+RDHUP
    near recv 10 -> ""
  `,
  'writing to who has closed': `
    ${CONNECTED}
    far close -> ok
    near poll -> IN+OUT+RDHUP
    near recv 10 -> ""
    near send text -> 4
    # RFC 9293 §3.10.7.4: data for nobody is answered with a reset; Linux's MPTCP drops it.
    near poll -> IN+OUT+ERR+HUP+RDHUP / IN+OUT+RDHUP / IN+OUT+ERR+HUP+RDHUP
    near send text -> EPIPE / 4 / EPIPE
    near get SO_ERROR -> 0
    near poll -> IN+OUT+HUP+RDHUP / IN+OUT+RDHUP / IN+OUT+HUP+RDHUP
  `,
  'SO_LINGER with a time delivers': `
    ${CONNECTED}
    far set SO_LINGER 1,1 -> ok
    far send last -> 4
    near poll -> IN+OUT
    near recv 10 -> "last"
    near shutdown WR -> ok
    far poll -> IN+OUT+RDHUP
    far close -> ok
    near poll -> IN+OUT+HUP+RDHUP
    near recv 10 -> ""
  `,
  'a full backlog': `
    listener socket -> ok
    listener bind server:7000 -> ok
    listener listen 0 -> ok
    near socket -> ok
    near connect server:7000 -> EINPROGRESS
    near poll -> OUT
    near2 socket -> ok
    near2 connect server:7000 -> EINPROGRESS
    near2 poll -> 0
    far accept listener -> ok
    other accept listener -> EAGAIN
  `,
  'what a listener is set to, its connections are': `
    listener socket -> ok
    listener bind server:7000 -> ok
    listener set SO_KEEPALIVE 1 -> ok
    listener set TCP_NODELAY 1 -> ok
    listener set TCP_KEEPIDLE 77 -> ok
    listener set SO_LINGER 1,9 -> ok
    listener set SO_RCVLOWAT 5 -> ok
    listener set IP_TOS 16 -> ok
    listener listen 5 -> ok
    near socket -> ok
    near connect server:7000 -> EINPROGRESS
    near poll -> OUT
    far accept listener -> ok
    far get SO_KEEPALIVE -> 1
    far get TCP_NODELAY -> 1
    far get TCP_KEEPIDLE -> 77
    far get SO_LINGER -> 1,9
    far get SO_RCVLOWAT -> 5
    far get IP_TOS -> 16
    near send 1234 -> 4
    far poll -> OUT
    near send 5 -> 1
    far poll -> IN+OUT
    far recv 2 -> "12"
  `,
  'sending more than there is room for': `
    ${LISTENING}
    near socket -> ok
    near set SO_SNDBUF 20000 -> ok
    near connect server:7000 -> EINPROGRESS
    near poll -> OUT
    far accept listener -> ok
    far set TCP_CORK 1 -> ok
    far send held -> 4
    near poll -> OUT
    far set TCP_CORK 0 -> ok
    near poll -> IN+OUT
    near recv 10 -> "held"
  `,
};
