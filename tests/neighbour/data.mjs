import { createHash } from 'node:crypto';

const PLANS = [
  { plan: 'starter', centsPerSeat: 900 },
  { plan: 'team', centsPerSeat: 1900 },
  { plan: 'enterprise', centsPerSeat: 4900 },
];
const MOST_SEATS = 500;
const LOWEST_INTENSITY = 20;
const HIGHEST_INTENSITY = 700;

/** What a tenant is billed: invented, and always the same for the same id. */
export function billingOf(tenantId) {
  const { plan, centsPerSeat } = PLANS[draw('plan', tenantId, PLANS.length)];
  const seats = 1 + draw('seats', tenantId, MOST_SEATS);
  return { plan, seats, monthlyFeeCents: seats * centsPerSeat };
}

/** Grams of CO2 per kilowatt-hour: invented, between a hydropower and a coal grid. */
export function gridCarbonIntensityOf(regionCode) {
  return LOWEST_INTENSITY + draw('grid', regionCode, HIGHEST_INTENSITY - LOWEST_INTENSITY + 1);
}

/** `count` ids: the given ones first, then invented ones that no other subgraph knows. */
export function customerIds(tenants, count) {
  const invented = Array.from({ length: count }, (_, index) => `customer-${String(index + 1).padStart(4, '0')}`);
  return [...tenants, ...invented].slice(0, count);
}

function draw(topic, key, bound) {
  return createHash('sha256').update(`${topic}:${key}`).digest().readUInt32BE() % bound;
}
