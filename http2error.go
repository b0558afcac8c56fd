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
	code, ok := http2Code(reflect.ValueOf(err))
	switch {
	case !ok:
		return 0
	case code == refusedStream:
		return unprocessedFact
	case code == inadequateSecurity, code == http11Required: // the next attempt would be made over HTTP/2 as well
		return permanentFact
	default:
		return 0
	}
}

func http2Code(value reflect.Value) (code uint64, ok bool) {
	if value.Kind() != reflect.Struct {
		return 0, false
	}
	for _, names := range [][2]string{{"Code", "StreamID"}, {"ErrCode", "LastStreamID"}} {
		if number := value.FieldByName(names[0]); isUint32(number) && isUint32(value.FieldByName(names[1])) {
			return number.Uint(), true
		}
	}
	return 0, false
}

func isUint32(value reflect.Value) bool { return value.IsValid() && value.Kind() == reflect.Uint32 }
