# Who may do what. The input names no person, only what a decision may depend on:
#
#   {"principal": {"tenant": string or null, "scopes": [string]},
#    "action": string,
#    "tenants": [string]}
#
# An action on the deployment as a whole names no tenant. The answer is
#
#   {"allowed": whether all that was asked is allowed, "tenants": [those it is allowed on]}
#
# No rule compares tenants with each other: the engine in process takes a second for a set of 1,000.
package governance.authorization

import rego.v1

default decision := {"allowed": false, "tenants": []}

# --- an action on the deployment

decision := {"allowed": true, "tenants": []} if {
	well_formed
	count(input.tenants) == 0
	allowed_on_deployment
}

allowed_on_deployment if input.action == "authenticated"

allowed_on_deployment if {
	platform_principal
	holds(input.action)
}

# --- an action on tenants

decision := {"allowed": true, "tenants": input.tenants} if {
	well_formed
	count(input.tenants) > 0
	allowed_on_every_tenant
}

decision := {"allowed": count(own) == count(input.tenants), "tenants": own} if {
	well_formed
	count(input.tenants) > 0
	allowed_on_own_tenant
}

own := [tenant | some tenant in input.tenants; tenant == input.principal.tenant]

allowed_on_every_tenant if {
	platform_principal
	holds("platform:tenants")
	input.action == "authenticated"
}

allowed_on_every_tenant if {
	platform_principal
	holds("platform:tenants")
	holds(input.action)
}

allowed_on_own_tenant if {
	is_string(input.principal.tenant)
	input.action == "authenticated"
}

# A token with a tenant has no say over the platform, not even where its own tenant is concerned.
allowed_on_own_tenant if {
	is_string(input.principal.tenant)
	not startswith(input.action, "platform:")
	input.action in input.principal.scopes
}

# --- the principal

# The claim decides, not the scopes: whoever belongs to a tenant never acts across tenants.
platform_principal if {
	input.principal.tenant == null
	some scope in input.principal.scopes
	startswith(scope, "platform:")
}

holds(scope) if scope in input.principal.scopes

holds(scope) if {
	startswith(scope, "platform:")
	"platform:*" in input.principal.scopes
}

# --- the input

# `in` also searches objects, so a scope list of another type must not get that far.
well_formed if {
	is_name(input.action)
	tenant_or_null(input.principal.tenant)
	is_array(input.principal.scopes)
	every scope in input.principal.scopes { is_name(scope) }
	is_array(input.tenants)
	every tenant in input.tenants { is_name(tenant) }
}

tenant_or_null(tenant) if tenant == null

tenant_or_null(tenant) if is_name(tenant)

is_name(value) if {
	is_string(value)
	value != ""
}
