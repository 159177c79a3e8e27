// Kubernetes quantities as numbers: cores, bytes.

const scales: Readonly<Record<string, number>> = {
  m: 0.001,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
};

/** "250m" is 0.25, "2Gi" 2147483648. Throws for what Kubernetes would not take. */
export function parseQuantity(quantity: string | number): number {
  const [, digits, unit] = /^(\d+(?:\.\d*)?|\.\d+)(m|k|M|G|T|Ki|Mi|Gi|Ti|)$/.exec(String(quantity)) ?? [];
  const scale = unit === undefined ? undefined : scales[unit];
  if (digits === undefined || scale === undefined) throw new Error(`${quantity} is no quantity, such as 250m or 2Gi`);
  return Number(digits) * scale;
}
