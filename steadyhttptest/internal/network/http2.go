package network

// Codes and limits of HTTP/2 (RFC 9113 §7, §5.1.1).
const (
	NoError       = 0
	InternalError = 2
	RefusedStream = 7

	LastStream = 1<<31 - 1 // the largest number that a stream can have
)
