import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import process from 'node:process';
import { marshal, unmarshal, type DbusValue, type DbusVariant } from '../src/dbus/marshal.ts';
import { decodeMessage, messageLength, messageType } from '../src/dbus/message.ts';

/** Answers calls by member: a signature and its values; nothing for what it does not know. */
type Methods = (member: string, values: readonly DbusValue[], path: string) => MethodAnswer | undefined;

type MethodAnswer = readonly [signature: string, values: readonly DbusValue[]];

interface MessageFields {
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  readonly signature?: string;
}

/** One message as it goes over the wire, little-endian. `more`: header fields beside those of the specification. */
export function encodeMessage(
  type: number,
  serial: number,
  fields: MessageFields,
  values: readonly DbusValue[] = [],
  more: readonly (readonly [number, DbusVariant])[] = [],
): Uint8Array {
  const body = marshal(fields.signature ?? '', values);
  const known: readonly (readonly [number, string, DbusValue | undefined])[] = [
    [1, 'o', fields.path],
    [2, 's', fields.interface],
    [3, 's', fields.member],
    [5, 'u', fields.replySerial],
    [6, 's', fields.destination],
    [8, 'g', fields.signature],
  ];
  const header = marshal('yyyyuua(yv)', [
    0x6c,
    type,
    0,
    1,
    body.length,
    serial,
    [
      ...known.flatMap(([code, signature, value]) => (value === undefined ? [] : [[code, { signature, value }]])),
      ...more,
    ] as DbusValue[],
  ]);
  const message = new Uint8Array(Math.ceil(header.length / 8) * 8 + body.length);
  message.set(header);
  message.set(body, message.length - body.length);
  return message;
}

/** A program on a bus that owns names, says things, and answers calls: the other side of what the product speaks. */
export class BusService {
  readonly #socket: Socket;
  readonly #answers = new Map<number, (values: readonly DbusValue[]) => void>();
  readonly #methods: Methods;
  #received: Buffer = Buffer.alloc(0);
  #serial = 0;
  #name = '';

  static async open(socketPath: string, names: readonly string[], methods: Methods = () => undefined): Promise<BusService> {
    const socket = connect(socketPath);
    await once(socket, 'connect');
    const service = new BusService(socket, methods);
    const greeting = once(socket, 'data');
    socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(process.geteuid?.())).toString('hex')}\r\n`);
    await greeting;
    socket.write('BEGIN\r\n');
    socket.on('data', (chunk: Buffer) => service.#take(chunk));
    const [own] = await service.#ask('Hello', '', []);
    service.#name = own as string;
    for (const name of names) await service.own(name);
    return service;
  }

  private constructor(socket: Socket, methods: Methods) {
    this.#socket = socket;
    this.#methods = methods;
    socket.on('error', () => undefined);
  }

  /** Such as `:1.7`. */
  get uniqueName(): string {
    return this.#name;
  }

  async own(name: string): Promise<void> {
    await this.#ask('RequestName', 'su', [name, 0]);
  }

  async release(name: string): Promise<void> {
    await this.#ask('ReleaseName', 's', [name]);
  }

  /** The names of all who are on the bus. */
  async everybody(): Promise<readonly string[]> {
    return (await this.#ask('ListNames', '', []))[0] as string[];
  }

  /** To everybody who wants to hear it, or to one alone. */
  emit(path: string, of: string, member: string, signature: string, values: readonly DbusValue[], to?: string): void {
    const fields = {
      path,
      interface: of,
      member,
      ...(signature !== '' && { signature }),
      ...(to !== undefined && { destination: to }),
    };
    this.send(encodeMessage(messageType.signal, ++this.#serial, fields, values));
  }

  send(message: Uint8Array): void {
    this.#socket.write(message);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Everything said so far has reached the bus, and been passed on. */
  async settled(): Promise<void> {
    await this.#ask('GetId', '', []);
  }

  async #ask(member: string, signature: string, values: readonly DbusValue[]): Promise<readonly DbusValue[]> {
    const serial = ++this.#serial;
    const answer = Promise.withResolvers<readonly DbusValue[]>();
    this.#answers.set(serial, answer.resolve);
    const bus = 'org.freedesktop.DBus';
    const fields = {
      path: '/org/freedesktop/DBus',
      interface: bus,
      member,
      destination: bus,
      ...(signature !== '' && { signature }),
    };
    this.send(encodeMessage(messageType.methodCall, serial, fields, values));
    return await answer.promise;
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      const length = messageLength(this.#received);
      if (length === undefined || this.#received.length < length) return;
      const octets = this.#received.subarray(0, length);
      const serial = new DataView(octets.buffer, octets.byteOffset).getUint32(8, octets[0] === 0x6c);
      const { type, replySerial, member, path, sender, signature, body, littleEndian } = decodeMessage(octets);
      const values = unmarshal(signature, body, littleEndian);
      if (type === messageType.methodReturn || type === messageType.error) this.#answers.get(replySerial!)?.(values);
      if (type === messageType.methodCall) {
        const answer = this.#methods(member!, values, path!);
        if (answer) {
          const fields = { replySerial: serial, destination: sender!, ...(answer[0] !== '' && { signature: answer[0] }) };
          this.send(encodeMessage(messageType.methodReturn, ++this.#serial, fields, answer[1]));
        }
      }
      this.#received = this.#received.subarray(length);
    }
  }
}
