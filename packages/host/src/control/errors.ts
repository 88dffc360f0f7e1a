/** What can go wrong with the control socket and with being the one daemon of this machine: 400–499. */
export const controlErrors = [
  {
    code: 'AOV-HOST-400',
    title: 'The control socket cannot be made',
    cure: 'Check that the run directory exists, belongs to root and is writable.',
  },
  {
    code: 'AOV-HOST-401',
    title: 'Another daemon is running',
    cure: 'Use the one that runs (aovpn status), or stop it first: systemctl stop aovpn',
  },
  {
    code: 'AOV-HOST-402',
    title: 'The group of the control socket does not exist',
    cure: 'Run: groupadd --system aovpn (or set [daemon] group in aovpn.toml); until then only root may ask.',
  },
  {
    code: 'AOV-HOST-403',
    title: 'The lock file cannot be made',
    cure: 'Check that the run directory exists, belongs to root and is writable.',
  },
  {
    code: 'AOV-HOST-410',
    title: 'The request is not well-formed HTTP',
    cure: 'Use the aovpn command, or an HTTP client over the Unix socket.',
  },
  { code: 'AOV-HOST-411', title: 'The request is too large', cure: 'The limit is 8 MiB for a body and 8 KiB for headers.' },
  { code: 'AOV-HOST-412', title: 'The body is not JSON', cure: 'Send UTF-8 JSON with content-type application/json.' },
  {
    code: 'AOV-HOST-413',
    title: 'Too many connections at once',
    cure: 'Close some; one user may have 16 at a time, and all but root together 96.',
  },
  {
    code: 'AOV-HOST-414',
    title: 'The kernel does not say who is asking',
    cure: 'Connect from this machine, by the Unix socket.',
  },
  {
    code: 'AOV-HOST-416',
    title: 'Too many requests',
    cure: 'Ask again in a moment; one user may ask 20 times a second, and have 8 requests under way.',
  },
  {
    code: 'AOV-HOST-417',
    title: 'You may not talk to the daemon',
    cure: 'Become root, ask to be put into the group of the daemon, or have a connection of your own; docs/control-socket.md says who may do what.',
  },
  { code: 'AOV-HOST-415', title: 'The daemon failed while answering', cure: 'Please report it with the log of this moment.' },
] as const;
