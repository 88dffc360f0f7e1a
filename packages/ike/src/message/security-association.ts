import { Reader, type Writer } from '@aovpn/bytes';
import { ProtocolId } from '../registry/protocol.ts';
import { encrRows, TransformType } from '../registry/transform.ts';
import { maxProposals, maxTransforms } from './limit.ts';
import { malformed } from './malformed.ts';
import type { Proposal, Transform } from './payload.ts';

/** "Last Substruc" of a proposal or a transform that another one follows (RFC 7296 §3.3.1, §3.3.2). */
const moreProposals = 2;
const moreTransforms = 3;

/** RFC 7296 §3.3.5: the only attribute, in its short form. */
const keyLengthAttribute = 14;
const shortForm = 0x8000;

/** SPI lengths by protocol; an IKE SA's is empty in IKE_SA_INIT (RFC 7296 §3.3.1). */
const spiLengths: Readonly<Record<number, readonly number[]>> = {
  [ProtocolId.IKE]: [0, 8],
  [ProtocolId.AH]: [4],
  [ProtocolId.ESP]: [4],
};

/** Body of an SA payload. @throws {MalformedError} */
export function decodeProposals(body: Uint8Array): Proposal[] {
  const reader = new Reader(body, 'SA payload');
  const proposals: Proposal[] = [];
  for (let more = true; more;) {
    if (proposals.length === maxProposals) malformed('too many proposals');
    const last = reader.u8();
    reader.u8();
    const length = reader.u16();
    if (length < 8) malformed('proposal shorter than its header');
    const proposal = decodeProposal(reader.sub(length - 4, 'proposal'));
    const before = proposals.at(-1);
    if (before && proposal.number !== before.number + 1) malformed('proposal numbers do not count up');
    proposals.push(proposal);
    more = reader.remaining > 0;
    if (last !== (more ? moreProposals : 0)) malformed('the last proposal is not where it is said to be');
  }
  return proposals;
}

export function encodeProposals(writer: Writer, proposals: readonly Proposal[]): void {
  for (const [i, proposal] of proposals.entries()) {
    const start = writer.length;
    writer
      .u8(i < proposals.length - 1 ? moreProposals : 0)
      .u8(0)
      .u16(0)
      .u8(proposal.number)
      .u8(proposal.protocol)
      .u8(proposal.spi.length)
      .u8(proposal.transforms.length)
      .bytes(proposal.spi);
    for (const [k, transform] of proposal.transforms.entries()) {
      writer
        .u8(k < proposal.transforms.length - 1 ? moreTransforms : 0)
        .u8(0)
        .u16(transform.keyBits === undefined ? 8 : 12)
        .u8(transform.type)
        .u8(0)
        .u16(transform.id);
      if (transform.keyBits !== undefined) writer.u16(shortForm | keyLengthAttribute).u16(transform.keyBits);
    }
    writer.patchU16(start + 2, writer.length - start);
  }
}

function decodeProposal(reader: Reader): Proposal {
  const number = reader.u8();
  const protocol = reader.u8();
  const spiLength = reader.u8();
  const count = reader.u8();
  if (number === 0) malformed('proposal number 0');
  if (spiLengths[protocol]?.includes(spiLength) === false) malformed(`an SPI of ${spiLength} octets for protocol ${protocol}`);
  if (count === 0 || count > maxTransforms) malformed(`${count} transforms in a proposal`);
  const spi = Uint8Array.from(reader.bytes(spiLength));
  const transforms: Transform[] = [];
  for (let i = 1; i <= count; i++) {
    const last = reader.u8();
    if (last !== (i < count ? moreTransforms : 0)) malformed('the last transform is not where it is said to be');
    reader.u8();
    const length = reader.u16();
    if (length < 8) malformed('transform shorter than its header');
    transforms.push(decodeTransform(reader.sub(length - 4, 'transform')));
  }
  reader.end();
  return { number, protocol, spi, transforms };
}

function decodeTransform(reader: Reader): Transform {
  const type = reader.u8();
  reader.u8();
  const id = reader.u16();
  let keyBits: number | undefined;
  let foreign = false;
  while (reader.remaining > 0) {
    const attribute = reader.u16();
    if (attribute === (shortForm | keyLengthAttribute)) {
      if (keyBits !== undefined) malformed('two key lengths in a transform');
      keyBits = reader.u16();
    } else {
      // RFC 7296 §3.3.6: a transform with an attribute that we do not understand cannot be chosen, which is no reason to refuse the rest.
      foreign = true;
      reader.bytes((attribute & shortForm) !== 0 ? 2 : reader.u16());
    }
  }
  // The same goes for a key length where there is nothing to choose.
  if (keyBits !== undefined && !mayHaveKeyLength(type, id)) foreign = true;
  return { type, id, ...(keyBits !== undefined && { keyBits }), ...(foreign && { foreignAttribute: true }) };
}

function mayHaveKeyLength(type: number, id: number): boolean {
  if (type !== TransformType.ENCR) return false;
  const row = encrRows.find((candidate) => candidate.id === id);
  return !row?.fixedKey;
}
