package transfer

import (
	"context"
	"maps"
	"slices"
)

// A tag is one of a table's, as the API has it.
type tag struct{ Key, Value string }

// SetTags adds tags to a table, or changes their values, and removes those whose value is "". It
// returns what the table's tags are afterwards. The server has one request for each of the two, and
// what is to be removed comes second: if it fails, the others are set.
func (c *Client) SetTags(ctx context.Context, table string, tags map[string]string) (map[string]string, error) {
	t, err := c.Describe(ctx, table)
	if err != nil {
		return nil, err
	}
	var set []tag
	var removed []string
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if value := tags[name]; value != "" {
			set = append(set, tag{name, value})
		} else {
			removed = append(removed, name)
		}
	}
	if len(set) > 0 {
		request := map[string]any{"ResourceArn": t.TableArn, "Tags": set}
		if err := c.call(ctx, "TagResource", request, nil); err != nil {
			return nil, err
		}
	}
	if len(removed) > 0 {
		request := map[string]any{"ResourceArn": t.TableArn, "TagKeys": removed}
		if err := c.call(ctx, "UntagResource", request, nil); err != nil {
			return nil, err
		}
	}
	return c.tags(ctx, t.TableArn)
}

// tags returns the tags of the table with an ARN.
func (c *Client) tags(ctx context.Context, arn string) (map[string]string, error) {
	all := map[string]string{}
	request := map[string]any{"ResourceArn": arn}
	for {
		var answer struct {
			Tags      []tag
			NextToken string
		}
		if err := c.call(ctx, "ListTagsOfResource", request, &answer); err != nil {
			return nil, err
		}
		for _, t := range answer.Tags {
			all[t.Key] = t.Value
		}
		if answer.NextToken == "" {
			return all, nil
		}
		request["NextToken"] = answer.NextToken
	}
}
