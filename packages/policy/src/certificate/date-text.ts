/** A time as `2026-11-22 20:01` (UTC); this room has no clock and no calendar of its own. `time`: milliseconds since 1970. */
export function dateText(time: number): string {
  const minutes = Math.floor(time / 60_000);
  const days = Math.floor(minutes / 1440);
  const { year, month, day } = civilDate(days);
  const ofDay = minutes - days * 1440;
  return `${pad(year, 4)}-${pad(month)}-${pad(day)} ${pad(Math.floor(ofDay / 60))}:${pad(ofDay % 60)}`;
}

/** Gregorian date of a day number; years begin in March, so that the day that comes and goes is the last of one. */
function civilDate(days: number): { readonly year: number; readonly month: number; readonly day: number } {
  const sinceMarchOfYear0 = days + 719_468;
  const era = Math.floor(sinceMarchOfYear0 / 146_097);
  const dayOfEra = sinceMarchOfYear0 - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1,
  };
}

function pad(number: number, width = 2): string {
  return String(number).padStart(width, '0');
}
