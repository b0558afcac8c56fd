package steadyhttp

import "reflect"

// HTTP/2 error codes (RFC 9113 §7) that say more than that something went wrong.
const (
	refusedStream      = 0x7 // the server promises that it did not act on the request (§8.7)
	inadequateSecurity = 0xc
	http11Required     = 0xd
)

// factsOfHTTP2Code looks for the code of a RST_STREAM or GOAWAY frame. It looks at the fields, since there are many
// types: http2StreamError and http2GoAwayError in net/http, StreamError and GoAwayError in golang.org/x/net/http2.
func factsOfHTTP2Code(err error) errorFacts {
	code, reset, ok := http2Code(reflect.ValueOf(err))
	switch {
	case !ok:
		return 0
	case code == refusedStream && reset: // a GOAWAY is about the connection: net/http has its error of the streams that it counts in
		return unprocessedFact
	case code == inadequateSecurity, code == http11Required: // the next attempt would be made over HTTP/2 as well
		return permanentFact
	default:
		return 0
	}
}

// http2Code also reports whether the frame reset the stream.
func http2Code(value reflect.Value) (code uint64, reset, ok bool) {
	if value.Kind() != reflect.Struct {
		return 0, false, false
	}
	if code, ok = uint32Beside(value, "Code", "StreamID"); ok {
		return code, true, true
	}
	code, ok = uint32Beside(value, "ErrCode", "LastStreamID")
	return code, false, ok
}

func uint32Beside(value reflect.Value, name, beside string) (number uint64, ok bool) {
	field := value.FieldByName(name)
	if !isUint32(field) || !isUint32(value.FieldByName(beside)) {
		return 0, false
	}
	return field.Uint(), true
}

func isUint32(value reflect.Value) bool { return value.IsValid() && value.Kind() == reflect.Uint32 }
