package dynamodb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// keyOf returns key elements: names, of which those before the "|" are HASH, the others RANGE.
func keyOf(names ...string) (elements []types.KeySchemaElement) {
	role := types.KeyTypeHash
	for _, name := range names {
		if name == "|" {
			role = types.KeyTypeRange
			continue
		}
		elements = append(elements, types.KeySchemaElement{AttributeName: aws.String(name), KeyType: role})
	}
	return elements
}

// definitionsOf returns definitions of "name:TYPE".
func definitionsOf(all ...string) (defined []types.AttributeDefinition) {
	for _, one := range all {
		name, kind, _ := strings.Cut(one, ":")
		defined = append(defined, types.AttributeDefinition{
			AttributeName: aws.String(name),
			AttributeType: types.ScalarAttributeType(kind),
		})
	}
	return defined
}

func globalIndex(name string, p types.ProjectionType, key ...string) types.GlobalSecondaryIndex {
	return types.GlobalSecondaryIndex{
		IndexName:  aws.String(name),
		KeySchema:  keyOf(key...),
		Projection: &types.Projection{ProjectionType: p},
	}
}

// A match of a tournament, and the index of matches by tournament and region, then round, court
// and the match itself.
func match(id, tournament string, region, round int, court, winner string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"id": str(id), "tournament": str(tournament), "region": num(region), "round": num(round),
		"court": &types.AttributeValueMemberB{Value: []byte(court)}, "winner": str(winner),
	}
}

func createMatches(t *testing.T, c *sdk.Client) {
	t.Helper()
	_, err := c.CreateTable(context.Background(), &sdk.CreateTableInput{
		TableName: aws.String("matches"), BillingMode: types.BillingModePayPerRequest, KeySchema: keyOf("id"),
		AttributeDefinitions: definitionsOf("id:S", "tournament:S", "region:N", "round:N", "court:B"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{globalIndex("by-region", types.ProjectionTypeAll,
			"tournament", "region", "|", "round", "court", "id")},
	})
	if err != nil {
		t.Fatal(err)
	}
	// The first DescribeTable after the creation finds the table active.
	if _, err := c.DescribeTable(context.Background(),
		&sdk.DescribeTableInput{TableName: aws.String("matches")}); err != nil {
		t.Fatal(err)
	}
	for _, it := range []map[string]types.AttributeValue{
		match("m1", "winter", 1, 10, "b", "ann"), match("m2", "winter", 1, 9, "b", "bob"),
		match("m3", "winter", 1, 9, "a", "ann"),
		match("m4", "winter", 1, 9, "a", "eve"), match("m5", "winter", 2, 9, "a", "eve"),
		match("m6", "spring", 1, 9, "a", "ann"),
		{"id": str("m7"), "tournament": str("winter"), "region": num(1), "round": num(9)}, // on no court yet
	} {
		if _, err := c.PutItem(context.Background(),
			&sdk.PutItemInput{TableName: aws.String("matches"), Item: it}); err != nil {
			t.Fatal(err)
		}
	}
}

// idsOf returns the IDs of the matches that a query of the index finds, in its order, page by page.
func idsOf(t *testing.T, c *sdk.Client, q sdk.QueryInput) (ids []string, err error) {
	t.Helper()
	q.TableName = aws.String("matches")
	if q.IndexName == nil {
		q.IndexName = aws.String("by-region")
	}
	pages := sdk.NewQueryPaginator(c, &q)
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return nil, err
		}
		for _, it := range page.Items {
			ids = append(ids, it["id"].(*types.AttributeValueMemberS).Value)
		}
		if last := page.LastEvaluatedKey; last != nil && len(last) != 5 {
			t.Errorf("got last key %v; want the attributes of both keys", last)
		}
	}
	return ids, nil
}

func TestSDKMultiKeyQueries(t *testing.T) {
	c := client(t, suiteSecret)
	createMatches(t, c)
	values := map[string]types.AttributeValue{":t": str("winter"), ":r": num(1), ":n": num(9), ":m": num(10),
		":c": &types.AttributeValueMemberB{Value: []byte("a")}, ":i": str("m4")}
	const partition = "tournament = :t AND #region = :r"
	for text, want := range map[string]string{
		partition:                                                 "m3 m4 m2 m1",
		"#region = :r AND tournament = :t":                        "m3 m4 m2 m1",
		partition + " AND round = :n":                             "m3 m4 m2",
		partition + " AND round > :n":                             "m1",
		partition + " AND round BETWEEN :n AND :m":                "m3 m4 m2 m1",
		partition + " AND round = :n AND court = :c":              "m3 m4",
		partition + " AND round = :n AND court > :c":              "m2",
		partition + " AND round = :n AND begins_with(court, :c)":  "m3 m4",
		"court = :c AND round = :n AND id >= :i AND " + partition: "m4",
		partition + " AND round = :n AND court = :c AND id = :i":  "m4",
	} {
		used := map[string]types.AttributeValue{}
		for name, v := range values {
			if strings.Contains(text, name) {
				used[name] = v
			}
		}
		q := sdk.QueryInput{
			KeyConditionExpression:    &text,
			ExpressionAttributeValues: used,
			ExpressionAttributeNames:  map[string]string{"#region": "region"},
		}
		ids, err := idsOf(t, c, q)
		if got := strings.Join(ids, " "); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
		q.Limit, q.ScanIndexForward = aws.Int32(1), aws.Bool(false)
		ids, err = idsOf(t, c, q)
		slices.Reverse(ids)
		if got := strings.Join(ids, " "); err != nil || got != want {
			t.Errorf("%s in reverse, one by one: got %s, %v; want %s", text, got, err, want)
		}
	}
	legacy := sdk.QueryInput{KeyConditions: map[string]types.Condition{
		"tournament": {
			ComparisonOperator: types.ComparisonOperatorEq,
			AttributeValueList: []types.AttributeValue{str("winter")},
		},
		"region": {ComparisonOperator: types.ComparisonOperatorEq, AttributeValueList: []types.AttributeValue{num(1)}},
		"round":  {ComparisonOperator: types.ComparisonOperatorLt, AttributeValueList: []types.AttributeValue{num(10)}},
	}}
	if ids, err := idsOf(t, c, legacy); err != nil || strings.Join(ids, " ") != "m3 m4 m2" {
		t.Errorf("KeyConditions: got %v, %v; want m3 m4 m2", ids, err)
	}
	scan, err := c.Scan(context.Background(), &sdk.ScanInput{
		TableName: aws.String("matches"),
		IndexName: aws.String("by-region"),
	})
	if err != nil || len(scan.Items) != 6 {
		t.Errorf("scan: got %v, %v; want the six matches with a court", scan, err)
	}
}

func TestSDKMultiKeyErrors(t *testing.T) {
	c := client(t, suiteSecret)
	createMatches(t, c)
	values := map[string]types.AttributeValue{
		":t": str("winter"),
		":r": num(1),
		":n": num(9),
		":c": &types.AttributeValueMemberB{Value: []byte("a")},
	}
	for text, want := range map[string]string{
		"tournament = :t": "HASH key attributes region must have equality conditions specified in the query",
		"tournament = :t AND #region = :r AND court = :c": "RANGE key attributes round must have equality conditions " +
			"specified in the query " +
			"because a condition is present on key attribute court",
		"tournament = :t AND #region = :r AND round > :n AND court = :c": "RANGE key attributes round must have equality " +
			"conditions " +
			"specified in the query because a condition is present on key attribute court",
		"tournament = :t AND #region = :t": "One or more parameter values were invalid: Condition parameter type does " +
			"not match schema type",
	} {
		used := map[string]types.AttributeValue{}
		for name, v := range values {
			if strings.Contains(text, name) {
				used[name] = v
			}
		}
		q := sdk.QueryInput{KeyConditionExpression: &text, ExpressionAttributeValues: used}
		if strings.Contains(text, "#region") {
			q.ExpressionAttributeNames = map[string]string{"#region": "region"}
		}
		if _, err := idsOf(t, c, q); err == nil || !strings.HasSuffix(err.Error(), "ValidationException: "+want) {
			t.Errorf("%s: got %v; want %s", text, err, want)
		}
	}
	filtered := sdk.QueryInput{
		KeyConditionExpression:    aws.String("tournament = :t AND #region = :r"),
		FilterExpression:          aws.String("court = :c"),
		ExpressionAttributeNames:  map[string]string{"#region": "region"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":t": str("winter"), ":r": num(1), ":c": str("a")},
	}
	_, err := idsOf(t, c, filtered)
	const want = "Filter Expression can only contain non-primary key attributes: Primary key attribute: court"
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("a filter by the key: got %v; want %s", err, want)
	}
	wrong := match("m8", "winter", 1, 9, "a", "ann")
	wrong["region"] = str("west")
	_, err = c.PutItem(context.Background(), &sdk.PutItemInput{TableName: aws.String("matches"), Item: wrong})
	if want := "Type mismatch for Index Key region Expected: N Actual: S IndexName: by-region"; err == nil ||
		!strings.HasSuffix(err.Error(), want) {
		t.Errorf("another type: got %v; want %s", err, want)
	}
}

// An index that is added later has the existing items, follows updates and transactions, is
// described as it was requested, and has both keys if it projects keys only.
func TestSDKMultiKeyIndexAddedLater(t *testing.T) {
	ctx, c := context.Background(), client(t, suiteSecret)
	createMatches(t, c)
	_, err := c.UpdateTable(ctx, &sdk.UpdateTableInput{TableName: aws.String("matches"),
		AttributeDefinitions: definitionsOf("winner:S", "round:N", "region:N"),
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &types.CreateGlobalSecondaryIndexAction{
			IndexName: aws.String("by-winner"), KeySchema: keyOf("winner", "|", "round", "region"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}}}}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the index is filled", func() bool {
		d, err := c.DescribeTable(ctx, &sdk.DescribeTableInput{TableName: aws.String("matches")})
		if err != nil {
			t.Fatal(err)
		}
		x := d.Table.GlobalSecondaryIndexes[1]
		if got, want := schemaText(x.KeySchema), "winner HASH, round RANGE, region RANGE"; got != want {
			t.Fatalf("got key %s; want %s", got, want)
		}
		return x.IndexStatus == types.IndexStatusActive
	})
	move := func(id string, round int) types.TransactWriteItem {
		return types.TransactWriteItem{Update: &types.Update{
			TableName:                 aws.String("matches"),
			Key:                       map[string]types.AttributeValue{"id": str(id)},
			UpdateExpression:          aws.String("SET round = :n"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":n": num(round)},
		}}
	}
	if _, err := c.TransactWriteItems(ctx,
		&sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{move("m1", 3), move("m6", 11)}}); err != nil {
		t.Fatal(err)
	}
	_, err = c.UpdateItem(ctx, &sdk.UpdateItemInput{
		TableName:                aws.String("matches"),
		Key:                      map[string]types.AttributeValue{"id": str("m3")},
		UpdateExpression:         aws.String("REMOVE #r"),
		ExpressionAttributeNames: map[string]string{"#r": "region"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Query(ctx, &sdk.QueryInput{TableName: aws.String("matches"), IndexName: aws.String("by-winner"),
		KeyConditionExpression:    aws.String("winner = :w"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":w": str("ann")}})
	if err != nil || len(got.Items) != 2 || len(got.Items[0]) != 4 ||
		got.Items[0]["id"].(*types.AttributeValueMemberS).Value != "m1" ||
		got.Items[1]["id"].(*types.AttributeValueMemberS).Value != "m6" {
		t.Errorf("got %v, %v; want the keys of m1 and m6", got, err)
	}
}

func schemaText(key []types.KeySchemaElement) string {
	var parts []string
	for _, k := range key {
		parts = append(parts, *k.AttributeName+" "+string(k.KeyType))
	}
	return strings.Join(parts, ", ")
}

func TestMultiKeyDefinitions(t *testing.T) {
	element := func(text string) string {
		var elements []string
		for _, e := range strings.Fields(text) {
			name, role, _ := strings.Cut(e, ":")
			elements = append(elements, fmt.Sprintf(`{"AttributeName":%q,"KeyType":%q}`, name, map[string]string{
				"H": "HASH",
				"R": "RANGE",
			}[role]))
		}
		return `"KeySchema":[` + strings.Join(elements, ",") + `]`
	}
	defined := func(names string) string {
		var all []string
		for _, name := range strings.Split(names, "") {
			all = append(all, fmt.Sprintf(`{"AttributeName":%q,"AttributeType":"S"}`, name))
		}
		return `"AttributeDefinitions":[` + strings.Join(all, ",") + `]`
	}
	const refused = "ValidationException: One or more parameter values were invalid: "
	const invalid = "ValidationException: Invalid KeySchema: "
	for _, c := range []struct{ names, key, want string }{
		{"pabcdefgh", "a:H b:H c:H d:H e:R f:R g:R h:R", ""},
		{"pab", "a:H b:H", ""},
		{"pa", "a:H p:H", ""},
		{
			"pabcde",
			"a:H b:H c:H d:H e:H",
			refused + "Index KeySchema has 5 HASH key attributes, but at most 4 are supported for index: multi",
		},
		{
			"pabcdef",
			"a:H b:R c:R d:R e:R f:R",
			refused + "Index KeySchema has 5 RANGE key attributes, but at most 4 are supported for index: multi",
		},
		{"pab", "a:R b:H", invalid + "The first KeySchemaElement is not a HASH key type"},
		{"pab", "a:R b:R", invalid + "The first KeySchemaElement is not a HASH key type"},
		{"pabc", "a:H b:R c:H", invalid + "All HASH key attributes must precede the RANGE key attributes"},
		{
			"pa",
			"a:H a:H",
			"ValidationException: Both the Hash Key and the Range Key element in the KeySchema have the same name",
		},
		{
			"pab",
			"a:H b:H a:R",
			"ValidationException: Both the Hash Key and the Range Key element in the KeySchema have the same name",
		},
		{
			"pa",
			"a:H b:H",
			refused + "Some index key attributes are not defined in AttributeDefinitions. Keys: [a, b], " +
				"AttributeDefinitions: [p, a]",
		},
		{
			"pabc",
			"a:H b:H",
			refused + "Some AttributeDefinitions are not used. AttributeDefinitions: [p, a, b, c], keys used: [a, b, p]",
		},
	} {
		h, _ := opened(t)
		index := `{"IndexName":"multi",` + element(c.key) + `,` + projectAll + `}`
		got := h.ask(t, "CreateTable", `{"TableName":"abc",`+onDemand+`,`+element("p:H")+`,`+defined(c.names)+
			`,"GlobalSecondaryIndexes":[`+index+`]}`)
		if c.want == "" {
			if got := at(t, got, "TableDescription", "GlobalSecondaryIndexes", 0, "KeySchema"); strings.Count(got,
				"AttributeName") != len(strings.Fields(c.key)) {
				t.Errorf("create %s: got %s", c.key, got)
			}
		} else if got != c.want {
			t.Errorf("create %s: got %s; want %s", c.key, got, c.want)
		}
		h, _ = opened(t)
		h.ask(t, "CreateTable", `{"TableName":"abc",`+onDemand+`,`+element("p:H")+`,`+defined("p")+`}`)
		h.waitActive(t, "abc")
		got = h.ask(t, "UpdateTable", `{"TableName":"abc",`+defined(c.names)+`,"GlobalSecondaryIndexUpdates":[{"Create":`+
			index+`}]}`)
		if want := c.want; want == "" && !strings.HasPrefix(got, "{") || want != "" && got != want {
			t.Errorf("update %s: got %s; want %s", c.key, got, want)
		}
	}
	h, _ := opened(t)
	for _, body := range []string{
		`{"TableName":"abc",` + onDemand + `,` + element("p:H a:R b:R") + `,` + defined("pab") + `}`,
		`{"TableName":"abc",` + onDemand + `,` + element("p:H a:R") + `,` + defined("pab") +
			`,"LocalSecondaryIndexes":[{"IndexName":"multi",` +
			element("p:H a:R b:R") + `,` + projectAll + `}]}`,
	} {
		if got := h.ask(t, "CreateTable", body); !strings.HasSuffix(got,
			"failed to satisfy constraint: Member must have length less than or equal to 2") {
			t.Errorf("%s: got %s; want it refused for its length", body, got)
		}
	}
}

// DynamoDB refuses to read such an index by PartiQL, with this text and before it checks the WHERE
// clause; the table and its other indexes can still be read and written (October 2026).
func TestStatementsOnMultiKeyIndexes(t *testing.T) {
	h := served(t)
	call(t, h, "CreateTable", `{"TableName":"spots",`+onDemand+`,"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"S"},
			{"AttributeName":"c","AttributeType":"S"}],
		"GlobalSecondaryIndexes":[
			{"IndexName":"hashes","KeySchema":[{"AttributeName":"a","KeyType":"HASH"},{"AttributeName":"b","KeyType":"HASH"}],`+projectAll+`},
			{"IndexName":"ranges","KeySchema":[{"AttributeName":"a","KeyType":"HASH"},{"AttributeName":"b","KeyType":"RANGE"},{"AttributeName":"c","KeyType":"RANGE"}],
				"Projection":{"ProjectionType":"KEYS_ONLY"}},
			{"IndexName":"single","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],`+projectAll+`}]}`)
	const words = "ValidationException: PartiQL statements cannot be executed on tables with " +
		"multi-attribute HASH keys or multi-attribute RANGE keys."
	run(t, h, []step{
		{
			"ExecuteStatement",
			statement(`INSERT INTO spots VALUE {'id': 'i', 'a': 'x', 'b': 'y', 'c': 'z'}`, ""),
			`{"Items":[]}`,
		},
		{"ExecuteStatement", statement(`SELECT id FROM spots."hashes" WHERE a = 'x' AND b = 'y'`, ""), words},
		{"ExecuteStatement", statement(`SELECT id FROM spots."ranges" WHERE a = 'x' ORDER BY b DESC`, ""), words},
		{"ExecuteStatement", statement(`SELECT * FROM spots."ranges"`, ""), words},
		{"ExecuteStatement", statement(`SELECT nothing FROM spots."ranges" WHERE a = 5`, `,"ConsistentRead":true`), words},
		{"ExecuteStatement", statement(`SELECT id FROM spots."single" WHERE a = 'x'`, ""), `{"Items":[{"id":{"S":"i"}}]}`},
		{"ExecuteStatement", statement(`UPDATE spots SET b = 'yy' WHERE id = 'i'`, ""), `{"Items":[]}`},
		{"ExecuteStatement", statement(`SELECT b FROM spots WHERE id = 'i'`, ""), `{"Items":[{"b":{"S":"yy"}}]}`},
		{
			"BatchExecuteStatement",
			`{"Statements":[{"Statement":"SELECT * FROM spots.\"ranges\" WHERE a = 'x'"},{"Statement":"SELECT c FROM spots WHERE id = 'i'"}]}`,
			`{"Responses":[{"Error":{"Code":"ValidationError","Message":"` + strings.TrimPrefix(words, "ValidationException: ") +
				`"}},{"Item":{"c":{"S":"z"}},"TableName":"spots"}]}`,
		},
		{
			"Query",
			`{"TableName":"spots","IndexName":"hashes","KeyConditionExpression":"a = :a AND b = :b","ProjectionExpression":"id",` +
				`"ExpressionAttributeValues":{":a":{"S":"x"},":b":{"S":"yy"}}}`,
			`{"Count":1,"ScannedCount":1,"Items":[{"id":{"S":"i"}}]}`,
		},
	})
}
