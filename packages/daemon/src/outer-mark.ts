/** `SO_MARK` of our outer packets and of queries for gateway names: they never enter a tunnel. "aov" in ASCII. */
export const outerMark = 0x61_6f_76;
