import process from 'node:process';

/**
 * By how much everything that is waited for may take longer, from `AOVPN_LAB_PATIENCE`: an emulated processor is slower by an order of magnitude,
 * and nothing is wrong with it.
 */
export const patience = Math.max(1, Number(process.env['AOVPN_LAB_PATIENCE'] ?? '1') || 1);

/**
 * Milliseconds after which what is waited for counts as something that never comes. Not a measure of speed: a machine that has much else to do may take
 * ten times as long as usual for anything.
 */
export const hangMs = 60_000 * patience;
