import koffi from 'koffi';

/** Octets. Calls on threads aside run on a stack of koffi's, by default of 128 KiB: less than smart-card libraries are written for. */
const wantedStack = 2 << 20;

// Only possible before anything native is loaded, so whatever loads something imports this first.
try {
  koffi.config({ async_stack_size: wantedStack });
} catch {
  // Somebody was here before us, or another thread's JavaScript; who needs the stack asks below.
}

/** Whether a call on a thread aside has room for code that is not ours. */
export function hasRoomAside(): boolean {
  return (koffi.config()['async_stack_size'] ?? 0) >= wantedStack;
}
