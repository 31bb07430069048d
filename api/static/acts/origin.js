// Certificates of origin as confirmation panels: have them made, pass them on, claim them.

const PURPOSE_CHARS_MAX = 256;

/** Certify what a meter exported in intervals that a usable reading tells. */
export function mint({ t, format }, meter, intervals) {
  return {
    title: t("act.mint"),
    quote: () => ({
      facts: [[t("field.meter"), meter], [t("fact.intervals"), format.count(intervals.length)]],
      next: t("act.mint.next"),
      call: ["origin", "mint", { meter, intervals }],
    }),
  };
}

const energyField = (t, format, record) => ({
  name: "energy_wh", label: t("field.energy"), kind: "energy", value: record.energy_wh,
  hint: t("field.part", { whole: format.energy(record.energy_wh) }),
});
const fits = (t, record, energyWh) => (energyWh > record.energy_wh ? t("act.part") : "");

export function transfer({ t, format }, record) {
  return {
    title: t("act.transfer"),
    fields: [{ name: "to", label: t("field.to"), kind: "signer", hint: t("field.to.hint") }, energyField(t, format, record)],
    quote: ({ to, energy_wh }) => ({
      facts: [[t("fact.certificate"), record.id], [t("fact.energy"), format.energy(energy_wh)]],
      next: t("act.transfer.next"),
      problem: fits(t, record, energy_wh),
      call: ["origin", "transfer", { certificate_id: record.id, to, energy_wh }],
    }),
  };
}

export function claim({ t, format }, record) {
  return {
    title: t("act.claim"),
    danger: true,
    fields: [
      energyField(t, format, record),
      { name: "purpose", label: t("field.purpose"), kind: "reason", most: PURPOSE_CHARS_MAX },
    ],
    quote: ({ energy_wh, purpose }) => ({
      facts: [[t("fact.certificate"), record.id], [t("fact.energy"), format.energy(energy_wh)]],
      next: t("act.claim.next"),
      problem: fits(t, record, energy_wh),
      call: ["origin", "claim", { certificate_id: record.id, energy_wh, purpose }],
    }),
  };
}
