// A sealed order: its hash goes to the auction, its terms stay with its owner until they are revealed.

const SALT_BYTES = 16;

export const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A fresh salt of 32 hexadecimal digits. */
export const newSalt = () => hexOf(crypto.getRandomValues(new Uint8Array(SALT_BYTES)));

/** The SHA-256, in hex, of "signer/meter/interval/side/energy/price/salt". */
export async function commitmentOf(signer, meter, interval, side, energyWh, price, salt) {
  const text = [signer, meter, interval, side, energyWh, price, salt].join("/");
  return hexOf(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));
}
