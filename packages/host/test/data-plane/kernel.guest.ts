import { openKernelDataPlane } from '../../src/data-plane/kernel-data-plane.ts';
import { dataPlaneCompliance } from './compliance.ts';

const traits = { counts: 'some', longTransfer: 12_000_000, narrowPath: 1344 } as const;

dataPlaneCompliance('kernel', openKernelDataPlane, traits);
// As on kernels without XFRM interfaces.
dataPlaneCompliance('marks', (options, onEvent) => openKernelDataPlane(options, onEvent, 'mark'), { ...traits, tied: true });
