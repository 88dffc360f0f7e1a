import type { HostErrorEntry } from '../host-error.ts';

/** What can go wrong with routes, rules, addresses and the resolver, DNS updates: 300–399. */
export const networkErrors = [
  { code: 'AOV-HOST-300', title: 'The kernel’s routing interface cannot be used', cure: 'Run as root, or with CAP_NET_ADMIN.' },
  {
    code: 'AOV-HOST-301',
    title: 'The tunnel’s device is gone',
    cure: 'Connect again; the device is made anew. If it stays away, check that /dev/net/tun exists.',
  },
  {
    code: 'AOV-HOST-302',
    title: 'The kernel refused a part of the plan; the routing before it was put back',
    cure: 'Look at the command in the message; `aovpn doctor` checks the usual causes (IPv6 switched off, no CAP_NET_ADMIN).',
  },
  {
    code: 'AOV-HOST-303',
    title: 'The kernel refused a part of the plan, and the routing before it could not be put back',
    cure: 'Run: aovpn down NAME, then aovpn up NAME. What is true now stands in the message.',
  },
  {
    code: 'AOV-HOST-304',
    title: 'Somebody else changes our routes or rules',
    cure: 'Another program removes or adds routes in our table (7296) or rules at our priorities (7200–7299); stop it from doing so.',
  },
  {
    code: 'AOV-HOST-310',
    title: 'Our stub resolver cannot listen',
    cure: 'Another resolver holds port 53 of our loopback address; restrict it to its own address.',
  },
  {
    code: 'AOV-HOST-311',
    title: 'resolv.conf cannot be written',
    cure: 'Check that its file system is writable and that it is not immutable (lsattr).',
  },
  {
    code: 'AOV-HOST-312',
    title: 'The resolver journal cannot be written or read',
    cure: 'Check that the state directory is writable and not full.',
  },
  {
    code: 'AOV-HOST-313',
    title: 'systemd-resolved refuses our name rules',
    cure: 'Check: systemctl status systemd-resolved; busctl status org.freedesktop.resolve1',
  },
  {
    code: 'AOV-HOST-320',
    title: 'The proxy script cannot be served',
    cure: 'Another program holds port 996 of 127.0.0.96; restrict it to its own address.',
  },
  {
    code: 'AOV-HOST-330',
    title: 'No name server could be reached to register this machine in DNS',
    cure: 'Check that the name servers of the profile answer by TCP port 53 through the tunnel (dig +tcp SOA DOMAIN).',
  },
  {
    code: 'AOV-HOST-331',
    title: 'The name server refuses to register this machine in DNS',
    cure: 'Let the zone accept dynamic updates from this machine (BIND: update-policy), or set dns-update-key or dns-update-keytab.',
  },
  {
    code: 'AOV-HOST-332',
    title: 'The key for DNS updates is not the name server’s',
    cure: 'Put the key clause of the name server (name, algorithm and secret, as tsig-keygen wrote it) into the file of dns-update-key.',
  },
  {
    code: 'AOV-HOST-333',
    title: 'The clocks of this machine and of the name server differ too much for signed DNS updates',
    cure: 'Set the clock of this machine (timedatectl), or that of the name server.',
  },
  {
    code: 'AOV-HOST-334',
    title: 'The file of dns-update-key cannot be understood',
    cure: 'It holds one clause, as tsig-keygen writes it: key "NAME" { algorithm hmac-sha256; secret "…"; };',
  },
  {
    code: 'AOV-HOST-335',
    title: 'The DNS update could not be signed by Kerberos',
    cure: 'Check the keytab (klist -k), /etc/krb5.conf, and that the domain controllers are reachable through the tunnel.',
  },
  {
    code: 'AOV-HOST-336',
    title: 'There is no DNS zone for the name of this machine',
    cure: 'Set dns-update-name to a name in a zone of the company, or DnsSuffix in the profile.',
  },
  {
    code: 'AOV-HOST-340',
    title: 'An encrypted resolver does not answer',
    cure: 'Check that the resolver runs, and that its TCP port (853 by default) can be reached through the tunnel: openssl s_client -connect ADDRESS:853',
  },
  {
    code: 'AOV-HOST-341',
    title: 'An encrypted resolver refuses or ends the connection',
    cure: 'Check that the resolver listens on the port that the gateway names, and its log.',
  },
  {
    code: 'AOV-HOST-342',
    title: 'What is at the place of an encrypted resolver does not speak DNS over TLS',
    cure: 'Check the address and port that the gateway names (ENCDNS_IP4, ENCDNS_IP6), and that the resolver speaks TLS 1.2 or later.',
  },
  {
    code: 'AOV-HOST-343',
    title: 'The certificate of an encrypted resolver is for another name',
    cure: 'Give the resolver a certificate with the name that the gateway calls it by (as a subject alternative name), or correct that name at the gateway.',
  },
  {
    code: 'AOV-HOST-344',
    title: 'The certificate of an encrypted resolver is not valid at this time',
    cure: 'Renew the certificate of the resolver; check the clock of this machine (timedatectl).',
  },
  {
    code: 'AOV-HOST-345',
    title: 'The certificate of an encrypted resolver is not from an authority that is trusted',
    cure: 'Name the authority in dns-ca (PEM), or have the gateway send the digest of the resolver’s key (ENCDNS_DIGEST_INFO).',
  },
  {
    code: 'AOV-HOST-346',
    title: 'The key of an encrypted resolver has another digest than the gateway says',
    cure: 'Correct the digest at the gateway (openssl x509 -in C -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256), or the key at the resolver. If neither was changed, somebody is in the resolver’s place.',
  },
] as const satisfies readonly HostErrorEntry[];

export type NetworkErrorCode = (typeof networkErrors)[number]['code'];

/** The advice of the table for one code. */
export function networkCure(code: NetworkErrorCode): string {
  return networkErrors.find((entry) => entry.code === code)!.cure;
}
