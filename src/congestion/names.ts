// Decides which congestion controllers there are, by name (Linux: TCP_CONGESTION).
// Before: host/config and tcp/tcb ask for one. After: the controller of that name.

import type { CongestionController } from './controller.ts';
import { Cubic } from './cubic.ts';
import { Lia } from './lia.ts';
import { Reno } from './reno.ts';

export type CongestionName = 'cubic' | 'reno' | 'lia';

export function createController(
  name: CongestionName,
  mssBytes: number,
  initialWindowBytes: number,
  asLinux: boolean = false,
): CongestionController {
  switch (name) {
    case 'cubic':
      return new Cubic(mssBytes, initialWindowBytes, asLinux);
    case 'reno':
      return new Reno(mssBytes, initialWindowBytes);
    case 'lia':
      return new Lia(mssBytes, initialWindowBytes);
  }
}
