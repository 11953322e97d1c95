package dynamodb

import (
	"context"

	"github.com/valyala/fasthttp"

	"holdfast"
	"holdfast/table"
)

// withToken runs an operation for a client that has sent a token: the operation answers nothing
// older, and the response has a token that has seen the answer, too, also if that is an error.
func withToken(
	ctx *fasthttp.RequestCtx, of context.Context, sent string, run func(context.Context) error,
) error {
	seen, err := holdfast.ParseToken(sent)
	if err != nil {
		return invalid("Invalid %s: %s", headerToken, err)
	}
	s := table.NewSession(seen)
	err = run(table.WithSession(of, s))
	ctx.Response.Header.SetCanonical(headerToken, []byte(s.Token().String()))
	return err
}
