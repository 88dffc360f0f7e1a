/** Without an inbound packet for so long, one that leaves goes into silence. Milliseconds; our own choice. */
export const silenceMs = 3_000;
