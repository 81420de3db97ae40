// The socket options, set and asked for: what Linux's TCP answers, looked up in the live kernel, which
// contract.test.ts asks again. Left out is what a machine is configured to, and what is refused here on purpose
// (docs/api/core.md).

/** By option. */
export const OPTION_SCRIPTS: Readonly<Record<string, string>> = {
  SO_REUSEADDR: `
    near socket -> ok
    near get SO_REUSEADDR -> 0
    near set SO_REUSEADDR 5 -> ok
    near get SO_REUSEADDR -> 1
    near set SO_REUSEADDR 0 -> ok
    near get SO_REUSEADDR -> 0
  `,
  SO_KEEPALIVE: `
    near socket -> ok
    near get SO_KEEPALIVE -> 0
    near set SO_KEEPALIVE 7 -> ok
    near get SO_KEEPALIVE -> 1
  `,
  SO_LINGER: `
    near socket -> ok
    near get SO_LINGER -> 0,0
    near set SO_LINGER 1,5 -> ok
    near get SO_LINGER -> 1,5
    near set SO_LINGER 0,9 -> ok
    near get SO_LINGER -> 0,5
    near set SO_LINGER 1,0 -> ok
    near get SO_LINGER -> 1,0
  `,
  SO_RCVBUF: `
    near socket -> ok
    near set SO_RCVBUF 0 -> ok
    near get SO_RCVBUF -> 2304
    near set SO_RCVBUF 4096 -> ok
    near get SO_RCVBUF -> 8192
    near set SO_RCVBUF 1000000000 -> ok
    near get SO_RCVBUF -> 8388608
  `,
  SO_SNDBUF: `
    near socket -> ok
    near set SO_SNDBUF 0 -> ok
    near get SO_SNDBUF -> 4608
    near set SO_SNDBUF 8192 -> ok
    near get SO_SNDBUF -> 16384
    near set SO_SNDBUF 1000000000 -> ok
    near get SO_SNDBUF -> 8388608
  `,
  SO_RCVLOWAT: `
    near socket -> ok
    near get SO_RCVLOWAT -> 1
    near set SO_RCVLOWAT 0 -> ok
    near get SO_RCVLOWAT -> 1
    near set SO_RCVLOWAT 100 -> ok
    near get SO_RCVLOWAT -> 100
    near set SO_RCVLOWAT -1 -> ok
  `,
  TCP_NODELAY: `
    near socket -> ok
    near get TCP_NODELAY -> 0
    near set TCP_NODELAY 3 -> ok
    near get TCP_NODELAY -> 1
  `,
  TCP_CORK: `
    near socket -> ok
    near get TCP_CORK -> 0
    near set TCP_CORK 1 -> ok
    near get TCP_CORK -> 1
    near set TCP_CORK 0 -> ok
    near get TCP_CORK -> 0
  `,
  TCP_MAXSEG: `
    near socket -> ok
    near get TCP_MAXSEG -> 536
    near set TCP_MAXSEG 87 -> EINVAL
    near get TCP_MAXSEG -> 536
    near set TCP_MAXSEG 88 -> ok
    near get TCP_MAXSEG -> 88
    near set TCP_MAXSEG 1000 -> ok
    near get TCP_MAXSEG -> 1000
    near set TCP_MAXSEG 32768 -> EINVAL
    near get TCP_MAXSEG -> 1000
    near set TCP_MAXSEG 0 -> ok
    near get TCP_MAXSEG -> 536
  `,
  TCP_KEEPIDLE: `
    near socket -> ok
    near get TCP_KEEPIDLE -> 7200
    near set TCP_KEEPIDLE 0 -> EINVAL
    near get TCP_KEEPIDLE -> 7200
    near set TCP_KEEPIDLE 1 -> ok
    near get TCP_KEEPIDLE -> 1
    near set TCP_KEEPIDLE 32767 -> ok
    near get TCP_KEEPIDLE -> 32767
    near set TCP_KEEPIDLE 32768 -> EINVAL
    near get TCP_KEEPIDLE -> 32767
  `,
  TCP_KEEPINTVL: `
    near socket -> ok
    near get TCP_KEEPINTVL -> 75
    near set TCP_KEEPINTVL 0 -> EINVAL
    near get TCP_KEEPINTVL -> 75
    near set TCP_KEEPINTVL 5 -> ok
    near get TCP_KEEPINTVL -> 5
    near set TCP_KEEPINTVL 32768 -> EINVAL
    near get TCP_KEEPINTVL -> 5
  `,
  TCP_KEEPCNT: `
    near socket -> ok
    near get TCP_KEEPCNT -> 9
    near set TCP_KEEPCNT 0 -> EINVAL
    near get TCP_KEEPCNT -> 9
    near set TCP_KEEPCNT 127 -> ok
    near get TCP_KEEPCNT -> 127
    near set TCP_KEEPCNT 128 -> EINVAL
    near get TCP_KEEPCNT -> 127
  `,
  TCP_SYNCNT: `
    near socket -> ok
    near get TCP_SYNCNT -> 6
    near set TCP_SYNCNT 0 -> EINVAL
    near get TCP_SYNCNT -> 6
    near set TCP_SYNCNT 1 -> ok
    near get TCP_SYNCNT -> 1
    near set TCP_SYNCNT 127 -> ok
    near get TCP_SYNCNT -> 127
    near set TCP_SYNCNT 128 -> EINVAL
    near get TCP_SYNCNT -> 127
  `,
  TCP_LINGER2: `
    near socket -> ok
    near get TCP_LINGER2 -> 60
    near set TCP_LINGER2 5 -> ok
    near get TCP_LINGER2 -> 5
    near set TCP_LINGER2 -1 -> ok
    near get TCP_LINGER2 -> -1
    near set TCP_LINGER2 0 -> ok
    near get TCP_LINGER2 -> 60
    near set TCP_LINGER2 121 -> ok
    near get TCP_LINGER2 -> 120
  `,
  TCP_DEFER_ACCEPT: `
    near socket -> ok
    near get TCP_DEFER_ACCEPT -> 0
    near set TCP_DEFER_ACCEPT 1 -> ok
    near get TCP_DEFER_ACCEPT -> 1
    near set TCP_DEFER_ACCEPT 2 -> ok
    near get TCP_DEFER_ACCEPT -> 3
    near set TCP_DEFER_ACCEPT 5 -> ok
    near get TCP_DEFER_ACCEPT -> 7
    near set TCP_DEFER_ACCEPT 10 -> ok
    near get TCP_DEFER_ACCEPT -> 15
    near set TCP_DEFER_ACCEPT 0 -> ok
    near get TCP_DEFER_ACCEPT -> 0
  `,
  TCP_WINDOW_CLAMP: `
    near socket -> ok
    near get TCP_WINDOW_CLAMP -> 0
    near set TCP_WINDOW_CLAMP 10 -> ok
    near get TCP_WINDOW_CLAMP -> 1152
    near set TCP_WINDOW_CLAMP 50000 -> ok
    near get TCP_WINDOW_CLAMP -> 50000
    near set TCP_WINDOW_CLAMP 0 -> ok
    near get TCP_WINDOW_CLAMP -> 0
  `,
  TCP_USER_TIMEOUT: `
    near socket -> ok
    near get TCP_USER_TIMEOUT -> 0
    near set TCP_USER_TIMEOUT -1 -> EINVAL
    near get TCP_USER_TIMEOUT -> 0
    near set TCP_USER_TIMEOUT 0 -> ok
    near get TCP_USER_TIMEOUT -> 0
    near set TCP_USER_TIMEOUT 5000 -> ok
    near get TCP_USER_TIMEOUT -> 5000
  `,
  TCP_QUICKACK: `
    near socket -> ok
    near get TCP_QUICKACK -> 1
    near set TCP_QUICKACK 0 -> ok
    near get TCP_QUICKACK -> 0
    near set TCP_QUICKACK 1 -> ok
    near get TCP_QUICKACK -> 1
    near set TCP_QUICKACK 2 -> ok
    near get TCP_QUICKACK -> 1
  `,
  TCP_NOTSENT_LOWAT: `
    near socket -> ok
    near get TCP_NOTSENT_LOWAT -> 0
    near set TCP_NOTSENT_LOWAT 0 -> ok
    near get TCP_NOTSENT_LOWAT -> 0
    near set TCP_NOTSENT_LOWAT 1000 -> ok
    near get TCP_NOTSENT_LOWAT -> 1000
  `,
  TCP_CONGESTION: `
    near socket -> ok
    near set TCP_CONGESTION reno -> ok
    near get TCP_CONGESTION -> reno
    near set TCP_CONGESTION nosuch -> ENOENT
    near get TCP_CONGESTION -> reno
    near set TCP_CONGESTION cubic -> ok
    near get TCP_CONGESTION -> cubic
  `,
  IP_TOS: `
    near socket -> ok
    near get IP_TOS -> 0
    near set IP_TOS 255 -> ok
    near get IP_TOS -> 252
    near set IP_TOS 16 -> ok
    near get IP_TOS -> 16
    near set IP_TOS -1 -> ok
    near get IP_TOS -> 252
    near set IP_TOS 256 -> ok
    near get IP_TOS -> 0
  `,
  IP_TTL: `
    near socket -> ok
    near get IP_TTL -> 64
    near set IP_TTL 0 -> EINVAL
    near get IP_TTL -> 64
    near set IP_TTL 1 -> ok
    near get IP_TTL -> 1
    near set IP_TTL 255 -> ok
    near get IP_TTL -> 255
    near set IP_TTL 256 -> EINVAL
    near get IP_TTL -> 255
    near set IP_TTL -1 -> ok
    near get IP_TTL -> 64
  `,
  SO_ERROR: `
    near socket -> ok
    near get SO_ERROR -> 0
    near set SO_ERROR 1 -> ENOPROTOOPT
    near get SO_ERROR -> 0
  `,
  SO_TYPE: `
    near socket -> ok
    near get SO_TYPE -> 1
    near set SO_TYPE 1 -> ENOPROTOOPT
    near get SO_TYPE -> 1
  `,
  SO_SNDLOWAT: `
    near socket -> ok
    near get SO_SNDLOWAT -> 1
    near set SO_SNDLOWAT 5 -> ENOPROTOOPT
    near get SO_SNDLOWAT -> 1
  `,
  IP_MTU: `
    near socket -> ok
    near get IP_MTU -> ENOTCONN
  `,
  SO_ACCEPTCONN: `
    near socket -> ok
    near get SO_ACCEPTCONN -> 0
    near set SO_ACCEPTCONN 1 -> ENOPROTOOPT
    near get SO_ACCEPTCONN -> 0
  `,
  SO_REUSEPORT: `
    near socket -> ok
    near get SO_REUSEPORT -> 0
    near set SO_REUSEPORT 1 -> ok
    near get SO_REUSEPORT -> 1
  `,
  IP_BIND_ADDRESS_NO_PORT: `
    near socket -> ok
    near get IP_BIND_ADDRESS_NO_PORT -> 0
    near set IP_BIND_ADDRESS_NO_PORT 1 -> ok
    near get IP_BIND_ADDRESS_NO_PORT -> 1
  `,
  IP_MTU_DISCOVER: `
    near socket -> ok
    near get IP_MTU_DISCOVER -> 1
    near set IP_MTU_DISCOVER 1 -> ok
    near get IP_MTU_DISCOVER -> 1
    near set IP_MTU_DISCOVER 2 -> ok
    near get IP_MTU_DISCOVER -> 2
  `,
  IPV6_V6ONLY: `
    near socket -> ok
    near get IPV6_V6ONLY -> EOPNOTSUPP
    near set IPV6_V6ONLY 1 -> ENOPROTOOPT
    near get IPV6_V6ONLY -> EOPNOTSUPP
  `,
  IPV6_TCLASS: `
    near socket -> ok
    near get IPV6_TCLASS -> EOPNOTSUPP
    near set IPV6_TCLASS 16 -> ENOPROTOOPT
    near get IPV6_TCLASS -> EOPNOTSUPP
  `,
  'IPV6_TCLASS on IPv6': `
    near socket6 -> ok
    near get IPV6_TCLASS -> 0
    near set IPV6_TCLASS -2 -> EINVAL
    near get IPV6_TCLASS -> 0
    near set IPV6_TCLASS -1 -> ok
    near get IPV6_TCLASS -> 0
    near set IPV6_TCLASS 0 -> ok
    near get IPV6_TCLASS -> 0
    near set IPV6_TCLASS 255 -> ok
    near get IPV6_TCLASS -> 252
    near set IPV6_TCLASS 256 -> EINVAL
    near get IPV6_TCLASS -> 252
    near set IPV6_TCLASS 16 -> ok
    near get IPV6_TCLASS -> 16
  `,
  'IPV6_UNICAST_HOPS on IPv6': `
    near socket6 -> ok
    near get IPV6_UNICAST_HOPS -> 64
    near set IPV6_UNICAST_HOPS -2 -> EINVAL
    near get IPV6_UNICAST_HOPS -> 64
    near set IPV6_UNICAST_HOPS -1 -> ok
    near get IPV6_UNICAST_HOPS -> 64
    near set IPV6_UNICAST_HOPS 0 -> ok
    near get IPV6_UNICAST_HOPS -> 0
    near set IPV6_UNICAST_HOPS 255 -> ok
    near get IPV6_UNICAST_HOPS -> 255
    near set IPV6_UNICAST_HOPS 256 -> EINVAL
    near get IPV6_UNICAST_HOPS -> 255
    near set IPV6_UNICAST_HOPS 16 -> ok
    near get IPV6_UNICAST_HOPS -> 16
  `,
  'IPV6_V6ONLY on IPv6': `
    near socket6 -> ok
    near get IPV6_V6ONLY -> 0
    near set IPV6_V6ONLY -2 -> ok
    near get IPV6_V6ONLY -> 1
    near set IPV6_V6ONLY -1 -> ok
    near get IPV6_V6ONLY -> 1
    near set IPV6_V6ONLY 0 -> ok
    near get IPV6_V6ONLY -> 0
    near set IPV6_V6ONLY 255 -> ok
    near get IPV6_V6ONLY -> 1
    near set IPV6_V6ONLY 256 -> ok
    near get IPV6_V6ONLY -> 1
    near set IPV6_V6ONLY 16 -> ok
    near get IPV6_V6ONLY -> 1
  `,
  'IP_TOS on IPv6': `
    near socket6 -> ok
    near get IP_TOS -> 0
    near set IP_TOS -2 -> ok
    near get IP_TOS -> 252
    near set IP_TOS -1 -> ok
    near get IP_TOS -> 252
    near set IP_TOS 0 -> ok
    near get IP_TOS -> 0
    near set IP_TOS 255 -> ok
    near get IP_TOS -> 252
    near set IP_TOS 256 -> ok
    near get IP_TOS -> 0
    near set IP_TOS 16 -> ok
    near get IP_TOS -> 16
  `,
};
