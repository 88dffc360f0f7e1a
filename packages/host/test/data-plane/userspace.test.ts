import { openUserspaceDataPlane } from '../../src/data-plane/open-userspace.ts';
import { dataPlaneCompliance } from './compliance.ts';

dataPlaneCompliance('userspace', openUserspaceDataPlane);
