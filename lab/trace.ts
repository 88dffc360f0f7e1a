import type { Host } from './host.ts';

/** All of a host that a VPN client may change, as text: what must be the same before and after. */
export async function hostState(host: Host): Promise<string> {
  const script = [
    'echo "# links"; ip -o link | sed "s/^[0-9]*: \\([^:@]*\\).*/\\1/" | sort',
    'echo "# addresses"; ip -o addr | awk \'{print $2, $3, $4}\' | sort',
    'echo "# routes"; ip route show table all | grep -v "^broadcast\\|^local\\|proto kernel.*src" | sort',
    'echo "# routes6"; ip -6 route show table all | grep -v "^local\\|^anycast\\|^multicast\\|proto kernel" | sed "s/ expires [0-9]*sec//; s/ hoplimit [0-9]*//" | sort',
    'echo "# rules"; ip rule show; ip -6 rule show',
    'echo "# nft"; nft list ruleset',
    'echo "# resolv.conf"; cat /etc/resolv.conf; ls -l /etc/resolv.conf | cut -c1-10',
    'echo "# hosts"; cat /etc/hosts',
    'echo "# listening"; ss -Hlntu | awk \'{print $1, $5}\' | sort',
    'echo "# sysctl"; sysctl -a 2>/dev/null | grep -E "rp_filter|src_valid_mark|forwarding|accept_local" | grep -v "\\.\\(wan0\\|lo\\)\\.mc_" | sort',
  ].join('\n');
  return host.exec(['sh', '-c', script]);
}
