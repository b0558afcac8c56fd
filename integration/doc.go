// Package integration tests the library with software of others: nginx, haproxy, Prometheus and Chromium from Debian's packages, toxiproxy,
// the server and the reverse proxy of net/http, and in the folder sdk the SDKs that people use. The folder migrated has
// small programs before and after they moved to steadyhttp, and the program in the folder soak runs for as long as you like.
//
// Every server listens on a loopback port that the system picks, and is stopped by the test that started it. A test
// whose server is not installed fails; the script run installs what is missing.
package integration
