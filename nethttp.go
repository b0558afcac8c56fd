package steadyhttp

// Texts of net/http's errors that have no type and are looked for in more than one place. A test asks net/http for
// each text that this package knows, so that it fails when a new Go changes one.
const (
	errBrokenText     = "net/http: HTTP/1.x transport connection broken: "
	errNotEstablished = "http2: client conn could not be established"
)
