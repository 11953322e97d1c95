package dynamodb

import (
	"context"

	"holdfast"
	"holdfast/table"
)

// A sent is what a request says about what its client has seen.
type sent struct {
	token string // of the client; "" is none
	// kept is the token that a node keeps of the client's session: shards that it lacks are read
	// consistently. "" is none, and no session.
	kept string
}

func (s *sent) empty() bool { return s.token == "" && s.kept == "" }

// withSeen runs an operation for a client that has seen something: the operation answers nothing
// older. It returns the response's token, which has seen the answer, too, also if that is an error.
// If the client's token is invalid, there is none.
func withSeen(ctx context.Context, by sent, run func(context.Context) error) (token string, err error) {
	s, err := sessionOf(by)
	if err != nil {
		return "", err
	}
	err = run(table.WithSession(ctx, s))
	return s.Token().String(), err
}

func sessionOf(by sent) (*table.Session, error) {
	seen := holdfast.Token{}
	if by.token != "" {
		var err error
		if seen, err = parseToken(by.token); err != nil {
			return nil, err
		}
	}
	if by.kept == "" {
		return table.NewSession(seen), nil
	}
	kept, err := holdfast.ParseToken(by.kept)
	if err != nil {
		return nil, err // a node has sent it
	}
	return table.ResumeSession(seen, kept), nil
}

func parseToken(sent string) (holdfast.Token, error) {
	seen, err := holdfast.ParseToken(sent)
	if err != nil {
		return seen, invalid("Invalid %s: %s", headerToken, err)
	}
	return seen, nil
}
