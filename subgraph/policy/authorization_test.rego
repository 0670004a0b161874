# Cases for `opa test`. The engine in process knows no `with` across rules, so the test suite takes
# `cases` from here, sets each input itself, and compares.
package governance.authorization_test

import rego.v1

import data.governance.authorization

test_every_case if {
	every case in cases {
		answer := authorization.decision with input as case.input
		answer == case.answer
	}
}

nothing := {"allowed": false, "tenants": []}

own := {"allowed": true, "tenants": ["acme"]}

deployment := {"allowed": true, "tenants": []}

viewer := {"tenant": "acme", "scopes": ["datasets:read"]}

overreaching := {"tenant": "acme", "scopes": ["platform:*", "platform:tenants", "datasets:read"]}

platform := {"tenant": null, "scopes": ["platform:*"]}

support := {"tenant": null, "scopes": ["platform:tenants", "datasets:read"]}

without_tenants := {"tenant": null, "scopes": ["platform:queries", "datasets:read", "ledger:deployment"]}

unaffiliated := {"tenant": null, "scopes": ["datasets:read", "ledger:deployment"]}

cases := {
	"known caller reads the identity of its own tenant": {
		"input": {"principal": viewer, "action": "authenticated", "tenants": ["acme"]},
		"answer": own,
	},
	"scope held on own tenant is allowed": {
		"input": {"principal": viewer, "action": "datasets:read", "tenants": ["acme"]},
		"answer": own,
	},
	"scope not held is denied": {
		"input": {"principal": viewer, "action": "datasets:write", "tenants": ["acme"]},
		"answer": nothing,
	},
	"other tenants are left out": {
		"input": {"principal": viewer, "action": "datasets:read", "tenants": ["other", "acme"]},
		"answer": {"allowed": false, "tenants": ["acme"]},
	},
	"tenant named twice is answered twice": {
		"input": {"principal": viewer, "action": "datasets:read", "tenants": ["acme", "acme"]},
		"answer": {"allowed": true, "tenants": ["acme", "acme"]},
	},
	"tenant principal with platform scopes reads no other tenant": {
		"input": {"principal": overreaching, "action": "datasets:read", "tenants": ["other"]},
		"answer": nothing,
	},
	"tenant principal with platform scopes sees no other tenant": {
		"input": {"principal": overreaching, "action": "authenticated", "tenants": ["other"]},
		"answer": nothing,
	},
	"tenant principal takes no platform action": {
		"input": {"principal": overreaching, "action": "platform:tenants", "tenants": []},
		"answer": nothing,
	},
	"tenant principal takes no platform action on its own tenant": {
		"input": {"principal": overreaching, "action": "platform:tenants", "tenants": ["acme"]},
		"answer": nothing,
	},
	"any known caller reads its own identity": {
		"input": {"principal": unaffiliated, "action": "authenticated", "tenants": []},
		"answer": deployment,
	},
	"wildcard covers every platform scope": {
		"input": {"principal": platform, "action": "platform:tenants", "tenants": []},
		"answer": deployment,
	},
	"wildcard covers no deployment-wide scope outside the platform": {
		"input": {"principal": platform, "action": "ledger:deployment", "tenants": []},
		"answer": nothing,
	},
	"wildcard covers no scope on a tenant": {
		"input": {"principal": platform, "action": "datasets:read", "tenants": ["acme"]},
		"answer": nothing,
	},
	"platform principal reads the identity of every tenant": {
		"input": {"principal": platform, "action": "authenticated", "tenants": ["b", "a"]},
		"answer": {"allowed": true, "tenants": ["b", "a"]},
	},
	"platform principal without platform:tenants sees no tenant": {
		"input": {"principal": without_tenants, "action": "authenticated", "tenants": ["acme"]},
		"answer": nothing,
	},
	"platform principal without platform:tenants reads no tenant": {
		"input": {"principal": without_tenants, "action": "datasets:read", "tenants": ["acme"]},
		"answer": nothing,
	},
	"platform principal holds the very scope": {
		"input": {"principal": support, "action": "datasets:read", "tenants": ["acme"]},
		"answer": own,
	},
	"platform principal lacks the very scope": {
		"input": {"principal": support, "action": "datasets:write", "tenants": ["acme"]},
		"answer": nothing,
	},
	"deployment-wide scope of a platform principal": {
		"input": {"principal": without_tenants, "action": "ledger:deployment", "tenants": []},
		"answer": deployment,
	},
	"deployment-wide scope of nobody in particular": {
		"input": {"principal": unaffiliated, "action": "ledger:deployment", "tenants": []},
		"answer": nothing,
	},
	"scope of a tenant principal says nothing about the deployment": {
		"input": {"principal": viewer, "action": "datasets:read", "tenants": []},
		"answer": nothing,
	},
	"malformed: empty": {
		"input": {},
		"answer": nothing,
	},
	"malformed: null": {
		"input": null,
		"answer": nothing,
	},
	"malformed: array": {
		"input": [],
		"answer": nothing,
	},
	"malformed: no tenants": {
		"input": {"principal": platform, "action": "authenticated"},
		"answer": nothing,
	},
	"malformed: no action": {
		"input": {"principal": platform, "tenants": ["acme"]},
		"answer": nothing,
	},
	"malformed: no principal": {
		"input": {"action": "authenticated", "tenants": ["acme"]},
		"answer": nothing,
	},
	"malformed: no tenant claim": {
		"input": {"principal": {"scopes": ["platform:*"]}, "action": "authenticated", "tenants": ["acme"]},
		"answer": nothing,
	},
	"malformed: empty tenant claim": {
		"input": {"principal": {"tenant": "", "scopes": ["platform:*"]}, "action": "authenticated", "tenants": [""]},
		"answer": nothing,
	},
	"malformed: false tenant claim": {
		"input": {"principal": {"tenant": false, "scopes": ["platform:*"]}, "action": "authenticated", "tenants": []},
		"answer": nothing,
	},
	"malformed: scopes in a string": {
		"input": {"principal": {"tenant": null, "scopes": "platform:*"}, "action": "authenticated", "tenants": ["acme"]},
		"answer": nothing,
	},
	"malformed: scopes in an object": {
		"input": {"principal": {"tenant": null, "scopes": {"a": "platform:*"}}, "action": "authenticated", "tenants": ["acme"]},
		"answer": nothing,
	},
	"malformed: scope that is a number": {
		"input": {"principal": {"tenant": null, "scopes": ["platform:*", 1]}, "action": "authenticated", "tenants": ["acme"]},
		"answer": nothing,
	},
	"malformed: empty action": {
		"input": {"principal": platform, "action": "", "tenants": []},
		"answer": nothing,
	},
	"malformed: action in an array": {
		"input": {"principal": platform, "action": ["authenticated"], "tenants": ["acme"]},
		"answer": nothing,
	},
	"malformed: tenants in a string": {
		"input": {"principal": platform, "action": "authenticated", "tenants": "acme"},
		"answer": nothing,
	},
	"malformed: tenants in an object": {
		"input": {"principal": platform, "action": "authenticated", "tenants": {"acme": "acme"}},
		"answer": nothing,
	},
	"malformed: tenant that is null": {
		"input": {"principal": platform, "action": "authenticated", "tenants": ["acme", null]},
		"answer": nothing,
	},
}
