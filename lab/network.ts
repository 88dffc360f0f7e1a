/** The address plan: the same in every world, because no world can see another. Documentation ranges only (RFC 5737, RFC 3849). */
export const network = {
  /** Where the client first stands, and where it may move to. */
  client: {
    device: 'wan0',
    home: { v4: '192.0.2.10', v6: '2001:db8:a::10', router4: '192.0.2.1', router6: '2001:db8:a::1' },
    away: { v4: '198.51.100.10', v6: '2001:db8:b::10', router4: '198.51.100.1', router6: '2001:db8:b::1' },
  },
  router: { toClient: 'client0', toGateway: 'gateway0', v4: '203.0.113.1', v6: '2001:db8:c::1' },
  gateway: {
    device: 'wan0',
    inside: 'lan0',
    name: 'vpn.example.net',
    /** Another name of its, in the letters of a language. */
    international: { written: 'zugang.bücher.example', ascii: 'zugang.xn--bcher-kva.example' },
    v4: '203.0.113.2',
    v6: '2001:db8:c::2',
    lan4: '10.20.0.1',
    lan6: 'fd20::1',
  },
  /** Services on the router that anybody on the internet can reach. */
  internet: {
    dns4: '198.18.0.53',
    dns6: '2001:db8:d::53',
    web: 'www.example.org',
    web4: '198.18.0.80',
    web6: '2001:db8:d::80',
    pki: 'pki.example.net',
    ocspPort: 2560,
    /** A hotel's sign-in page; see `CaptivePortal`. */
    portal: 'portal.hotel.example',
    portal4: '198.18.0.90',
    portal6: '2001:db8:d::90',
  },
  corp: {
    device: 'lan0',
    zone: 'corp.example',
    prefix4: '10.20.0.0/24',
    prefix6: 'fd20::/64',
    dns4: '10.20.0.53',
    dns6: 'fd20::53',
    web: 'intranet.corp.example',
    web4: '10.20.0.80',
    web6: 'fd20::80',
    /** RADIUS servers; the gateway alone asks them. */
    radius4: '10.20.0.18',
    /** UDP, answers with the same octets. */
    echoPort: 7,
  },
  /** Virtual addresses that the gateway hands out. */
  pool: {
    prefix4: '10.30.0.0/24',
    range4: '10.30.0.10-10.30.0.250',
    prefix6: 'fd30::/112',
    range6: 'fd30::10-fd30::fa',
    any4: /^10\.30\.0\.\d+$/,
    any6: /^fd30::/,
  },
} as const;

/** Words that occur only in pages of the corporate web server: what a leak would look like on the wire. */
export const canary = 'corporate-secret-7f3a91c2';
/** Words that occur only in pages of the public web server: the positive control. */
export const publicCanary = 'public-page-5d20b8e4';
