// Package network is what the packages of the test kit need of a network that is not there: errors as package net
// returns them, and certificates.
package network

import (
	"cmp"
	"net"
	"net/url"
	"os"
	"syscall"
)

// An Address is a [net.Addr] at which there is nothing.
type Address string

// Network returns "tcp".
func (Address) Network() string { return "tcp" }

// String returns the address, such as "api.example.com:443".
func (a Address) String() string { return string(a) }

// AddressOf returns the address that a client dials for a URL.
func AddressOf(target *url.URL) Address {
	port := map[string]string{"http": "80", "https": "443"}[target.Scheme]
	return Address(net.JoinHostPort(target.Hostname(), cmp.Or(target.Port(), port)))
}

// Error returns what package net returns if an operation, such as "dial" or "read", fails by err.
func Error(operation string, remote Address, err error) error {
	return &net.OpError{Op: operation, Net: "tcp", Addr: remote, Err: err}
}

// SystemError is an [Error] of a system call.
func SystemError(operation string, remote Address, call string, errno syscall.Errno) error {
	return Error(operation, remote, os.NewSyscallError(call, errno))
}
