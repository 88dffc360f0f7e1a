import { openKernelDataPlane } from '../../src/data-plane/kernel-data-plane.ts';
import { dataPlaneCompliance } from './compliance.ts';

dataPlaneCompliance('kernel', openKernelDataPlane, { counts: 'some', longTransfer: 12_000_000, narrowPath: 1344 });
