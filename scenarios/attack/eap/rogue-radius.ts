// Program: a RADIUS server that somebody has put in the place of the right one. It knows the gateway's secret and nothing of the user. Arguments: address,
// port, secret, trick. Standard output: every EAP packet of the peer, hexadecimal, one on a line.
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import process from 'node:process';
import { eapAttributes, eapOf, parseRadius, radiusCode, radiusType, writeAnswer } from '../../../lab/relay/radius-packet.ts';

/** What the rogue answers, one after the other; the last one for ever. */
export type Trick =
  /** Success with a key of its own, as soon as there is an identity. */
  | 'early success'
  /** The same once TLS has begun. */
  | 'success in the middle of TLS'
  /** Success inside the conversation of EAP-MSCHAPv2, without the proof that only somebody with the password can give. */
  | 'success without proof'
  /** A made-up proof. */
  | 'false proof'
  /** Asks for the password in clear. */
  | 'token card'
  /** Asks for a hash of the password that it can try words against. */
  | 'MD5 challenge';

const code = { request: 1, success: 3, failure: 4 } as const;
const type = { identity: 1, md5: 4, gtc: 6, peap: 25, mschapv2: 26 } as const;
const [address, port, secret, trick] = process.argv.slice(2) as [string, string, string, Trick];
const key = randomBytes(64);

type Step = (last: Buffer) => { readonly eap: Buffer; readonly end?: 'accept' | 'reject' };

const success: Step = (last) => ({ eap: Buffer.from([code.success, last[1]!, 0, 4]), end: 'accept' });
const reject: Step = (last) => ({ eap: Buffer.from([code.failure, last[1]!, 0, 4]), end: 'reject' });
const ask =
  (kind: number, data: Buffer | ((last: Buffer) => Buffer)): Step =>
  (last) => {
    const body = typeof data === 'function' ? data(last) : data;
    const eap = Buffer.concat([Buffer.from([code.request, (last[1]! + 1) & 0xff, 0, 0, kind]), body]);
    eap.writeUInt16BE(eap.length, 2);
    return { eap };
  };
const challenge = ask(type.mschapv2, (last) => {
  const value = Buffer.concat([Buffer.from([1, last[1]! + 1, 0, 0, 16]), randomBytes(16), Buffer.from('rogue')]);
  value.writeUInt16BE(value.length, 2);
  return value;
});
const falseProof = ask(type.mschapv2, (last) => {
  const text = `S=${createHash('sha1').update('nothing').digest('hex').toUpperCase()} M=Welcome`;
  const value = Buffer.concat([Buffer.from([3, last[1]!, 0, 0]), Buffer.from(text)]);
  value.writeUInt16BE(value.length, 2);
  return value;
});
const scripts: { readonly [T in Trick]: readonly Step[] } = {
  'early success': [success],
  'success in the middle of TLS': [ask(type.peap, Buffer.from([0x20])), success],
  'success without proof': [challenge, success],
  'false proof': [challenge, falseProof, success],
  'token card': [ask(type.gtc, Buffer.from('Password: ')), ask(type.gtc, Buffer.from('Password: ')), reject],
  'MD5 challenge': [
    ask(type.md5, Buffer.concat([Buffer.from([16]), randomBytes(16)])),
    ask(type.md5, Buffer.concat([Buffer.from([16]), randomBytes(16)])),
    reject,
  ],
};

const socket = createSocket('udp4');
let step = 0;
const answered = new Map<string, Buffer>();
socket.on('message', (datagram, from) => {
  const request = parseRadius(datagram);
  const repeated = answered.get(request.authenticator.toString('hex'));
  if (repeated) return socket.send(repeated, from.port, from.address);
  const heard = eapOf(request);
  process.stdout.write(`${heard.toString('hex')}\n`);
  if (heard[4] === type.identity) step = 0;
  const script = scripts[trick];
  const { eap, end } = script[Math.min(step++, script.length - 1)]!(heard);
  const answer = writeAnswer(request, secret, {
    code: end ? radiusCode[end] : radiusCode.challenge,
    attributes: [...eapAttributes(eap), ...(end ? [] : [{ type: radiusType.state, value: Buffer.from('rogue') }])],
    ...(end === 'accept' && { msk: key }),
  });
  answered.set(request.authenticator.toString('hex'), answer);
  socket.send(answer, from.port, from.address);
});
socket.bind(Number(port), address, () => process.stdout.write('ready\n'));
