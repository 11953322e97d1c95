package dynamodb

import (
	"context"

	"holdfast"
	"holdfast/table"
)

// withToken runs an operation for a client that has sent a token: the operation answers nothing
// older. It returns the response's token, which has seen the answer, too, also if that is an error.
// If the client's token is invalid, there is none.
func withToken(ctx context.Context, sent string, run func(context.Context) error) (token string, err error) {
	seen, err := parseToken(sent)
	if err != nil {
		return "", err
	}
	s := table.NewSession(seen)
	err = run(table.WithSession(ctx, s))
	return s.Token().String(), err
}

func parseToken(sent string) (holdfast.Token, error) {
	seen, err := holdfast.ParseToken(sent)
	if err != nil {
		return seen, invalid("Invalid %s: %s", headerToken, err)
	}
	return seen, nil
}
