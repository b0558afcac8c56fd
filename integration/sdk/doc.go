// Package sdk tests SDKs that people use over a steadyhttp transport. Each is set up as its documentation says, with its own
// retries off if it has any. The services are loopback servers that fail at first.
//
// docs/recipes.md says what to set for each SDK. Its code is taken from these tests.
package sdk
