// Package integration holds tests in which nothing on the other side is ours: nginx and haproxy from Debian's
// packages, toxiproxy, net/http's own server and reverse proxy, and in sdk the clients that people already
// use. Package soak runs for as long as one likes.
//
// Whatever is started listens on a loopback port that the system picks, and is stopped by the test that
// started it. A server that is not installed is a failure; the script run installs them.
package integration
