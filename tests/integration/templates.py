"""Operations with room for a selection; the names with a dollar are filled in by `World`."""

TENANT = '{ tenant(id: "$tenant") { %s } }'
DATASET = '{ tenant(id: "$tenant") { dataset(id: "$dataset") { %s } } }'
DATASETS = '{ tenant(id: "$tenant") { datasets { %s } } }'
ENTITY = '{ _entities(representations: [{ __typename: "%s", %s: "%s" }]) { ... on %s { %%s } } }'
NEW_TENANT = (
    'mutation { registerTenant(input: { id: "$new", name: "%s", homeRegion: "$region",'
    ' allowedRegions: ["$region"] }) { %%s } }'
)
NEW_DATASET = (
    'mutation { registerDataset(tenantId: "$tenant", input: { slug: "visits", name: "Visits",'
    ' source: "$source", region: "$region", license: "CC-BY-4.0", licenseTextDigest: "$digest",'
    ' privacyUnit: "person", columns: [{ name: "age", kind: NUMBER, lower: 0, upper: 120 }] })'
    " { %s } }"
)

EVENTS = TENANT % "ledger { events(first: 1) { %s } }"
KEYS = "{ verificationKeys { %s } }"
