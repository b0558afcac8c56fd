// Package sdk holds tests of the SDKs that people already use, over a steadyhttp transport that is plugged in as
// their documentation plugs one in, with their own retries off where they have some. The services are
// loopback servers that fail first.
//
// What each SDK needs to know is in docs/recipes.md. Its code is that of these tests.
package sdk
