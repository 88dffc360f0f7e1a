import { connect } from 'node:net';
import process from 'node:process';

// The whole of a process that runs as the user whose bus it is: octets between its standard input and output and that bus.
const bus = connect(process.argv[2]!);
process.stdin.pipe(bus).pipe(process.stdout);
for (const end of [bus, process.stdin, process.stdout]) {
  end.on('error', () => process.exit(1));
  end.on('close', () => process.exit());
}
