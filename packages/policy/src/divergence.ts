import type { Position } from '@aovpn/profile';

/** One place where this room differs from Windows, or decides what Windows leaves open. */
export interface Divergence {
  readonly id: string;
  readonly title: string;
  /** What Windows does. */
  readonly windows: string;
  /** What we do. */
  readonly here: string;
  readonly why: string;
}

/** A divergence that touches one given profile. */
export interface DivergenceNote {
  readonly id: PolicyDivergenceId;
  readonly at?: Position;
  /** What it means for this profile, one sentence. */
  readonly text: string;
}

/** All of them, in the order of docs/divergences.md. */
export const policyDivergences = [
  {
    id: 'routing-policy-default',
    title: 'RoutingPolicyType is absent',
    windows:
      'Two Microsoft-side sources contradict each other: without routes force tunnel is the default; or an absent element means split.',
    here: 'LockDown: force. Device tunnel: split. Otherwise force when the profile has no ordinary Route, split when it has one.',
    why: 'With no route to go by, only force tunnel is sure not to send corporate traffic in the clear.',
  },
  {
    id: 'force-ignores-routes',
    title: 'Ordinary routes under force tunnel',
    windows:
      'Ordinary Route elements and the class-based default route have no place under force tunnel; administrators are told to remove them.',
    here: 'They are left out of the plan, each with a note; exclusion routes stay.',
    why: 'The default route in the tunnel covers them; a metric on them could only weaken it.',
  },
  {
    id: 'class-based-default-route',
    title: 'Class-based default route',
    windows:
      'Unless DisableClassBasedDefaultRoute is true, the class A, B or C network of the assigned address is routed into a split tunnel, visible nowhere in the profile.',
    here: 'The same route, shown in the plan with its reason. Addresses of class D and E have none; IPv6 has none.',
    why: 'Same behaviour, but visible.',
  },
  {
    id: 'route-host-bits',
    title: 'Route with host bits set',
    windows: 'The route stays in the profile and never enters the routing table.',
    here: 'Host bits are cleared and the route is used.',
    why: 'The intent is plain, and losing a route silently helps nobody.',
  },
  {
    id: 'implicit-trusted-networks',
    title: 'Name rules stand in for TrustedNetworkDetection',
    windows:
      'When TrustedNetworkDetection is absent, the names of DomainNameInformation rules that have DNS servers are used as the list of trusted suffixes.',
    here: 'The same, and the profile carries a note that says so. `.` is never a trusted suffix.',
    why: 'Same behaviour, but visible.',
  },
  {
    id: 'app-trigger',
    title: 'AppTrigger',
    windows: 'The start of an application brings the tunnel up; its first connections may fail meanwhile.',
    here: 'The start waits for the tunnel, five seconds at the longest (trigger-hold), so that the first connection works. The tunnel goes when the last such application has been gone for trigger-idle-seconds. After disconnecting by hand no trigger brings it up; the status says so.',
    why: 'A program should not have to know that there is a tunnel.',
  },
  {
    id: 'name-trigger',
    title: 'AutoTrigger of name rules',
    windows:
      'A name of the rule brings the tunnel up; what its first question comes to is not written down. While the tunnel is down a rule that is not Persistent is not in force, and its names are asked outside.',
    here: 'The question waits for the tunnel, eight seconds at the longest, and is answered inside (trigger-hold). When the tunnel does not come up it is told that there is no answer (SERVFAIL), and so is every later one, at once, until it comes up; nobody outside is asked. Only `.` is out of force meanwhile, so that a machine without its gateway goes on. Put down by a person or on a trusted network, the rule is as if it were not there. Always-on profiles need no trigger. The tunnel goes when it has carried nothing for trigger-idle-seconds.',
    why: 'Whoever can hold the tunnel up would otherwise be asked for the company’s names, and his answers be believed.',
  },
  {
    id: 'trusted-networks',
    title: 'What a trusted network is',
    windows:
      'The DNS suffix of a physical link, or the name of the network, stands in the list; the network must be private or provisioned.',
    here: 'The whole DNS suffix of a physical link, whoever of the usual programs took it, upper and lower case alike; names of networks do not count. With trusted-beacon in the settings that is only a hint, and a server that proves itself by TLS decides. Without it the status says that any network can hand out a suffix. A tunnel that a person asks for there comes up.',
    why: 'A name that any access point can choose must not switch the protection off unnoticed.',
  },
  {
    id: 'local-subnet-force',
    title: 'Local networks under force tunnel',
    windows:
      'The directly attached network stays reachable, because its route is more specific than the default route; ByPassForLocal is documented as what permits that.',
    here: 'Without ByPassForLocal all traffic goes into the tunnel, to local networks too (link-local excepted). With it, directly attached networks stay direct that have private addresses (RFC 1918, RFC 4193), are no larger than a /16 (IPv6: a /64) and overlap nothing that is known to be inside: Routes of the profile, subnets and name servers. Those that do not are a diagnostic. Networks of virtual bridges that end in this machine (Docker, libvirt) stay direct in any case.',
    why: 'A hostile access point chooses the local network: a public one would draw any destination out of the tunnel (CVE-2023-36672, CVE-2023-35838), as would routes pushed by DHCP (CVE-2024-3661); those are never looked at.',
  },
  {
    id: 'local-subnet-split',
    title: 'Local networks under split tunnel',
    windows:
      'One routing table: the more specific prefix wins, so a directly attached network inside a tunnel route stays direct; other routes of the physical network that are more specific win as well.',
    here: 'No network or route of the physical side wins against a tunnel route, however specific; a directly attached network inside a tunnel route is reached through the tunnel, with a diagnostic. ByPassForLocal true keeps private ones direct that are no larger than a /16 (IPv6: a /64) and more specific than the Route.',
    why: 'Whoever runs the local network chooses what is directly attached, and could draw any part of the company’s network out of the tunnel (CVE-2023-36672, CVE-2024-3661).',
  },
  {
    id: 'exclusion-precedence',
    title: 'A prefix that is both routed and excluded',
    windows: 'Metrics decide.',
    here: 'Within one profile the exclusion wins; between two profiles the tunnel route wins.',
    why: 'The outcome must not hang on the metric of whatever network the machine happens to be in.',
  },
  {
    id: 'suffix-covers-apex',
    title: 'A suffix rule and its own name',
    windows: 'The documentation speaks of the names below the suffix only.',
    here: '`.corp.example` covers `corp.example` too.',
    why: 'Domain controllers are looked up by it, and asking the local network for it would reveal the name.',
  },
  {
    id: 'device-tunnel-name-rules',
    title: 'Name rules on the device tunnel and on the user tunnel',
    windows: 'Rules of the device tunnel work only while no user tunnel has any.',
    here: 'All rules are merged. For the same name the lower interface metric wins, then the user tunnel, then the profile name in alphabetical order.',
    why: 'Rules should not vanish because another profile has some.',
  },
  {
    id: 'equal-metric',
    title: 'Equal prefixes in two tunnels',
    windows: 'The sum of interface and route metric decides; equal sums are undefined.',
    here: 'The same sum; for equal sums the user tunnel wins, then the profile name in alphabetical order.',
    why: 'Deterministic, and shown in the plan.',
  },
  {
    id: 'dns-server-route',
    title: 'DNS servers of a tunnel that no route covers',
    windows: 'The query leaves on whatever interface the routing table says, in the clear.',
    here: 'A host route takes the server into the tunnel, unless the profile excludes it or the negotiated traffic selectors cannot carry it.',
    why: 'Internal names must not be asked in the clear.',
  },
  {
    id: 'dns-suffix-rule',
    title: 'DnsSuffix and pushed domains as name rules',
    windows:
      'Names under a connection suffix go to the servers of the interface with the lowest metric, which may be the physical one.',
    here: 'A DnsSuffix entry (and, without DomainNameInformation, a domain pushed by the gateway) that no rule covers becomes a suffix rule to the servers pushed by the gateway.',
    why: 'Wired Ethernet should not be able to break internal names.',
  },
  {
    id: 'all-names-without-rules',
    title: 'DNS servers but no names',
    windows: 'The DNS servers of the interface with the lowest metric are asked for everything.',
    here: 'When the gateway pushes DNS servers and neither profile nor gateway says which names are inside, all names go to them.',
    why: 'Otherwise no internal name would resolve.',
  },
  {
    id: 'names-by-interface-metric',
    title: 'Names without a rule, and interface metrics',
    windows:
      'The name servers of the interface with the lowest metric are asked first, the others beside or after them; the first good answer counts.',
    here: 'Under split tunnel, when the profile writes an interface metric and the gateway gives name servers: if the metric is lower than the one that Windows would give the physical link (by its speed), the tunnel’s servers are asked first, and the machine’s own when those are silent, fail or refuse; “no such name” counts. Otherwise the machine’s own are asked. Without a written metric the machine’s own are asked.',
    why: 'Asking everybody at once would tell every network the names of the others. An automatic metric says nothing about what its author wants.',
  },
  {
    id: 'register-dns',
    title: 'RegisterDNS',
    windows:
      'Every connection with RegisterDNS registers its addresses under the name of the computer, first without and then with a GSS-TSIG signature; connections overwrite each other.',
    here: 'One tunnel registers, the device tunnel first; the other is told (AOV-POLICY-442). An update is signed with a TSIG key or by Kerberos (GSS-TSIG) when the settings say so, otherwise not at all. Reverse names are registered where the server lets us. At the end of the connection our addresses are taken out again.',
    why: 'Two tunnels under one name leave the wrong address behind, and an address that nobody answers any more is worse than none.',
  },
  {
    id: 'name-rules-for-all-programs',
    title: 'Who is bound by name rules',
    windows: 'Programs that use the Windows DNS client API; others (nslookup, some browsers) ignore the rules.',
    here: 'Every program that uses the system resolver or /etc/resolv.conf.',
    why: 'Linux has no such API; the system resolver is the honest equivalent.',
  },
  {
    id: 'force-fails-closed',
    title: 'Force tunnel and what the tunnel cannot carry',
    windows:
      'A family without an address in the tunnel keeps its physical route; without LockDown a lost tunnel means traffic in the clear.',
    here: 'A family that the tunnel does not carry is unreachable, and so is everything else if the device disappears under a live plan (a crash), until the plan is changed or cleaned up. A Route of a split tunnel whose family the tunnel does not carry is unreachable as well.',
    why: 'Force tunnel that leaks one family is not force tunnel.',
  },
  {
    id: 'gateway-outside',
    title: 'The outer address of the gateway',
    windows: 'A host route through the physical interface.',
    here: 'No route: our own IKE and ESP are known by their mark and go past the tunnels; what other programs send to that address goes where the profile says, into the tunnel under force tunnel.',
    why: 'A lying DNS could make the gateway’s address that of any site, whose traffic would then leave in the clear (CVE-2023-36673).',
  },
  {
    id: 'selectors-as-routes',
    title: 'PlumbIKEv2TSAsRoutes',
    windows: 'The negotiated traffic selectors become routes.',
    here: 'The same, and subnets that the gateway pushes (INTERNAL_IP4_SUBNET, INTERNAL_IP6_SUBNET) as well; without the element both are ignored.',
    why: 'Third-party gateways push subnets where RRAS narrows selectors.',
  },
  {
    id: 'metric-range',
    title: 'Metrics above 9999',
    windows: 'Out of range; the profile is altered or refused.',
    here: 'Lowered to 9999, with a note.',
    why: 'The order that was meant is kept.',
  },
  {
    id: 'device-tunnel-force',
    title: 'Force tunnel on a device tunnel',
    windows: 'Device tunnels are split tunnels only.',
    here: 'RoutingPolicyType is honoured as written.',
    why: 'There is no technical reason to refuse it.',
  },
  {
    id: 'unusable-name-rule',
    title: 'Name rules that cannot work',
    windows: 'Kept without effect, or altered silently.',
    here: 'Left out of the plan, with a note: a name that is not a DNS name, or servers of which none is an IP address.',
    why: 'A rule with unusable servers must not turn into an exemption.',
  },
  {
    id: 'filters-both-families',
    title: 'Traffic filters and IPv6',
    windows: 'Filters are not to be combined with IPv6 tunnel addresses.',
    here: 'Filters bind IPv4 and IPv6 alike; a filter without addresses is about both.',
    why: 'A family without filters would be a way around them.',
  },
  {
    id: 'filters-inbound',
    title: 'Inbound traffic of a tunnel with filters',
    windows: 'Before build 2004 filters block everything that comes in uninvited; since then Inbound filters allow it.',
    here: 'The same as since 2004. Answers and ICMP errors that belong to allowed traffic always pass.',
    why: 'Same behaviour, but visible.',
  },
  {
    id: 'filter-local-and-remote',
    title: 'A filter with local and remote addresses',
    windows: 'The local addresses are ignored.',
    here: 'Both are conditions.',
    why: 'A condition that is written and does not count lets through what was meant to be refused.',
  },
  {
    id: 'filter-every-packet',
    title: 'Connections that exist when filters change',
    windows: 'Connections are authorised again at some later time.',
    here: 'Each packet of the side that began the connection is held against the filters in force; the other side may answer as long as the kernel knows the connection.',
    why: 'A filter that was taken away must not live on in old connections.',
  },
  {
    id: 'filter-refusal',
    title: 'What programs see of a filter',
    windows: 'Packets vanish, programs wait until they give up.',
    here: 'Outgoing packets are refused with an ICMP error (administratively prohibited), so that programs fail at once; incoming ones vanish.',
    why: 'A wait of a minute looks like a broken network; nothing is told to the outside.',
  },
  {
    id: 'filter-forwarded',
    title: 'Traffic of containers and virtual machines',
    windows: 'Not described.',
    here: 'What the machine forwards into or out of a tunnel passes only by filters that have neither App nor Claims.',
    why: 'Nobody can tell which program is behind forwarded packets.',
  },
  {
    id: 'filter-name-servers',
    title: 'Name servers of a tunnel with filters',
    windows: 'Queries need a filter like everything else.',
    here: 'The resolver of this machine may ask the name servers of the tunnel (TCP and UDP, port 53; those that are asked by TLS by TCP alone, port 853 or the one that the gateway names), and no other program by this rule. It is in the plan.',
    why: 'With a filter for one application no name inside would resolve, not even for that application.',
  },
  {
    id: 'app-identity',
    title: 'Windows applications on Linux',
    windows: 'A path or a package family name is the program.',
    here: 'Files in apps.d say which Linux programs it stands for. Case does not count, variables such as %ProgramFiles% are understood, and both Program Files folders are one. An application that no file knows is a diagnostic, and its filter lets nothing through.',
    why: 'The same profile has to serve both systems, and a guess could open the tunnel to the wrong program.',
  },
  {
    id: 'app-linux-path',
    title: 'A Linux path as application',
    windows: 'Not possible.',
    here: 'An absolute path without wildcards as App/Id is that executable of this machine.',
    why: 'Programs that exist on Linux only need a name too.',
  },
  {
    id: 'app-system',
    title: 'SYSTEM',
    windows: 'Traffic of the kernel, ping and SMB for example.',
    here: 'Packets that belong to no socket, and those of sockets of uid 0 outside the cgroups of all apps; inbound, packets that no program listens for or that a system service (system.slice) receives.',
    why: 'On Linux services run as root what Windows does in its kernel.',
  },
  {
    id: 'claims-as-users',
    title: 'Claims',
    windows: 'The token of the local user is held against the security descriptor.',
    here: 'A file, or SSSD, says which users and groups a SID is; the first entry that fits the owner of the socket decides. A SID that nobody knows grants nothing, and where it is denied the whole filter lets nothing through. Claims on Inbound filters let nothing through.',
    why: 'The kernel knows users and groups, not SIDs; and for incoming packets it does not know the user.',
  },
  {
    id: 'forced-app',
    title: 'ForceTunnel for an application',
    windows: 'The traffic of the application is bound to the interface of the tunnel while that is up.',
    here: 'The same, TCP and UDP, both families, whatever routes and exclusions the profile has. While the tunnel is wanted and down, nothing of the application leaves; on a trusted network and after disconnecting by hand it is free. Its name queries go to the name servers of the tunnel.',
    why: 'Otherwise its first packets would travel in the clear each time the tunnel comes late.',
  },
  {
    id: 'lockdown',
    title: 'LockDown',
    windows:
      'Nothing passes outside of the tunnel, from the first connection on, captive portals included; the profile can only be deleted, by SYSTEM.',
    here: 'The same, for both families, from before the network starts, whatever becomes of the daemon; ByPassForLocal has no effect, and a profile with routes or exclusions is refused. Programs hear at once that they are refused. Forwarded packets (containers, virtual machines) are refused too. Root can release it.',
    why: 'A lock that is open while nobody watches is none; and whoever is root can open it anyway, so there is one way that is logged and shown.',
  },
  {
    id: 'proxy-sessions',
    title: 'Proxies',
    windows:
      'Proxy is a setting of the connection, under force tunnel only, for programs that use WinINET; WebProxyServers of name rules go for their names.',
    here: 'The same in words of Linux, while the tunnel is up: the environment of new shells and sessions, the settings of GNOME and KDE of people who run `aovpn session`, and for WebProxyServers a script from loopback that browsers ask about each page. What was set before comes back. NetworkManager keeps proxies for its own connections only, and the tunnel is none of them.',
    why: 'There is no one place where programs on Linux look for a proxy; root changes nothing in anybody’s home.',
  },
  {
    id: 'edp-mode-id',
    title: 'EdpModeId',
    windows:
      'Applications that a policy of Windows Information Protection for this enterprise id allows bring the tunnel up and may use it, without AppTrigger and TrafficFilter.',
    here: 'Nothing follows from it: the list of those applications is in another policy, for programs of Windows. The profile has a note; AppTrigger and TrafficFilter name applications, and apps.d says what they are here.',
    why: 'A list that is not there cannot be guessed, and nobody should believe that something is protected by it.',
  },
] as const satisfies readonly Divergence[];

export type PolicyDivergenceId = (typeof policyDivergences)[number]['id'];
