// Statements as CSV (RFC 4180), UTF-8, one line a trade, adjustment or dispute.

const FORMULA = /^[=+\-@\t\r]/;
const NUMBER = /^-?\d+(\.\d+)?$/;

/** A cell's text: quoted where it must be, and never taken for a formula by a spreadsheet. */
export function cellOf(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (FORMULA.test(text) && !NUMBER.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Lines of cells, the header first, each ended by CRLF. */
export const csvOf = (lines) => lines.map((cells) => `${cells.map(cellOf).join(",")}\r\n`).join("");
