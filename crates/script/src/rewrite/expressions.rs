//! Expressions: truthiness, equality, assignment, `eval`.

use oxc_ast::ast::{
    Argument, AssignmentExpression, AssignmentOperator, AssignmentTarget, BinaryExpression,
    BinaryOperator, CallExpression, Expression, LogicalExpression, LogicalOperator,
    SimpleAssignmentTarget, UnaryOperator, UpdateExpression, UpdateOperator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};

use super::known::{is_number, is_plain, is_text};
use super::names::is_inherited;
use super::rewriter::Rewriter;

/// Longest literal that is written twice to spare a call.
const LITERAL_BYTES_MAX: u32 = 32;

/// What an assignment may meet.
enum Member<'e, 'a> {
    /// `object.name`
    Named { object: &'e Expression<'a>, name: &'e str },
    /// `object[key]`
    Keyed { object: &'e Expression<'a>, key: &'e Expression<'a> },
}

impl Member<'_, '_> {
    /// Whether the property may be one that a built-in prototype has: assigning it needs care in a sealed realm.
    fn may_be_inherited(&self) -> bool {
        match self {
            Self::Named { name, .. } => is_inherited(name),
            Self::Keyed { key, .. } => !is_number(key),
        }
    }
}

impl Rewriter<'_> {
    pub(super) fn expression(&mut self, it: &Expression<'_>) {
        let unused = self.value_unused.take().is_some_and(|span| span == it.span());
        match it {
            Expression::LogicalExpression(logical) => self.logical(logical, unused),
            Expression::BinaryExpression(binary) => self.binary(binary),
            Expression::AssignmentExpression(assignment) => self.assignment(assignment),
            Expression::UpdateExpression(update) => self.update(update),
            Expression::CallExpression(call) => self.call(call),
            Expression::ConditionalExpression(conditional) => {
                self.condition(&conditional.test);
                self.visit_expression(&conditional.consequent);
                self.visit_expression(&conditional.alternate);
            }
            Expression::UnaryExpression(unary) if unary.operator == UnaryOperator::LogicalNot => {
                self.condition(&unary.argument);
            }
            Expression::ImportExpression(import) => {
                // `import` is seven letters less than a call of a helper that throws when it is reached.
                self.edits.replace(import.span.start, import.span.start + 6, "$$_m");
                walk::walk_import_expression(self, import);
            }
            Expression::ParenthesizedExpression(inner) => {
                if unused {
                    self.value_unused = Some(inner.expression.span());
                }
                self.visit_expression(&inner.expression);
            }
            _ => walk::walk_expression(self, it),
        }
    }

    /// An expression of which only the truth counts.
    pub(super) fn condition(&mut self, it: &Expression<'_>) {
        match it {
            Expression::ParenthesizedExpression(inner) => self.condition(&inner.expression),
            Expression::LogicalExpression(logical)
                if logical.operator != LogicalOperator::Coalesce =>
            {
                self.condition(&logical.left);
                self.condition(&logical.right);
            }
            Expression::ConditionalExpression(conditional) => {
                self.condition(&conditional.test);
                self.condition(&conditional.consequent);
                self.condition(&conditional.alternate);
            }
            _ if is_plain(it) => self.visit_expression(it),
            Expression::SequenceExpression(sequence) => {
                let Some((last, others)) = sequence.expressions.split_last() else { return };
                for other in others {
                    self.visit_expression(other);
                }
                self.condition(last);
            }
            _ => self.judge(it),
        }
    }

    /// `$$_t(x)`; for a plain name the call is spared when it holds a primitive, which is most of the time.
    fn judge(&mut self, it: &Expression<'_>) {
        match self.repeatable_name(it) {
            Some(name) => {
                let span = it.span();
                let open = self.open(span.start);
                self.edits
                    .insert(span.start, format!("{open}typeof {name}==='object'?$$_t({name}):"));
                self.visit_expression(it);
                self.edits.insert(span.end, ")");
            }
            None => self.wrap(it, "$$_t("),
        }
    }

    /// A name whose reading has no effect, so that it may be read twice.
    fn repeatable_name<'e>(&self, it: &'e Expression<'_>) -> Option<&'e str> {
        match it {
            Expression::Identifier(name) if !self.in_with() && name.name != "eval" => {
                Some(name.name.as_str())
            }
            _ => None,
        }
    }

    fn wrap(&mut self, it: &Expression<'_>, open: &str) {
        let span = it.span();
        self.edits.insert(span.start, open);
        self.visit_expression(it);
        self.edits.insert(span.end, ")");
    }

    /// `(`, or a call of the identity where a statement must not begin with `(`.
    fn open(&self, at: u32) -> &'static str {
        if self.statement_start == Some(at) { "$$_i(" } else { "(" }
    }

    fn logical(&mut self, it: &LogicalExpression<'_>, unused: bool) {
        let operator = match it.operator {
            LogicalOperator::And => "&&",
            LogicalOperator::Or => "||",
            LogicalOperator::Coalesce => {
                self.visit_expression(&it.left);
                self.visit_expression(&it.right);
                return;
            }
        };
        let (left, right) = (it.left.span(), it.right.span());
        if is_plain(&it.left) {
            self.visit_expression(&it.left);
        } else if it.operator == LogicalOperator::Or || unused {
            // A false element on the left is dropped: `$$_o` gives something false of the language instead.
            self.wrap(&it.left, "$$_o(");
        } else {
            // A false element on the left is the value of the whole: `$$_p` keeps it for `$$_q`.
            let open = self.open(it.span.start);
            self.edits.insert(it.span.start, format!("{open}$$_p("));
            self.visit_expression(&it.left);
            self.edits.replace_operator(left.end, right.start, operator, ")?");
            self.visit_expression(&it.right);
            self.edits.insert(it.span.end, ":$$_q())");
            return;
        }
        if unused {
            self.value_unused = Some(right);
        }
        self.visit_expression(&it.right);
    }

    fn binary(&mut self, it: &BinaryExpression<'_>) {
        let (operator, helper) = match it.operator {
            BinaryOperator::Equality => ("==", "$$_e("),
            BinaryOperator::Inequality => ("!=", "$$_n("),
            _ => {
                self.visit_expression(&it.left);
                self.visit_expression(&it.right);
                return;
            }
        };
        if is_plain(&it.left) && is_plain(&it.right) {
            self.visit_expression(&it.left);
            self.visit_expression(&it.right);
            return;
        }
        if let Some(name) = self.repeatable_name(&it.left)
            && is_literal(&it.right)
        {
            // A primitive on both sides compares as it is, without a call.
            let text = self.edits.slice(it.right.span().start, it.right.span().end);
            let open = self.open(it.span.start);
            self.edits.insert(
                it.span.start,
                format!("{open}typeof {name}==='object'?{helper}{name},{text}):"),
            );
            self.visit_expression(&it.left);
            self.edits.insert(it.span.end, ")");
            return;
        }
        self.edits.insert(it.span.start, helper);
        self.visit_expression(&it.left);
        self.edits.replace_operator(it.left.span().end, it.right.span().start, operator, ",");
        self.visit_expression(&it.right);
        self.edits.insert(it.span.end, ")");
    }

    fn call(&mut self, it: &CallExpression<'_>) {
        if it.optional || !self.is_eval_name(&it.callee) {
            walk::walk_call_expression(self, it);
            return;
        }
        // A direct `eval`: the callee keeps its name, the text is rewritten first.
        for (index, argument) in it.arguments.iter().enumerate() {
            let span = argument.span();
            match argument {
                Argument::SpreadElement(spread) if index == 0 => {
                    let inner = spread.argument.span();
                    self.edits.insert(inner.start, "$$_x(eval,true,...");
                    self.visit_expression(&spread.argument);
                    self.edits.insert(inner.end, ")");
                }
                _ if index == 0 => {
                    self.edits.insert(span.start, "$$_x(eval,false,");
                    self.visit_argument(argument);
                    self.edits.insert(span.end, ")");
                }
                _ => self.visit_argument(argument),
            }
        }
    }

    fn assignment(&mut self, it: &AssignmentExpression<'_>) {
        // A target in parentheses stays as it is: nobody writes it, and its edits would cross the parentheses.
        let plain_target = it.span.start == it.left.span().start;
        let member = member_of_target(&it.left);
        match it.operator {
            _ if !plain_target => walk::walk_assignment_expression(self, it),
            AssignmentOperator::Assign => match member {
                Some(member) if member.may_be_inherited() => self.guarded_write(it, &member),
                _ => walk::walk_assignment_expression(self, it),
            },
            AssignmentOperator::Addition => self.addition(it, member.as_ref()),
            AssignmentOperator::LogicalAnd | AssignmentOperator::LogicalOr => {
                self.logical_assignment(it, member.as_ref());
            }
            _ => walk::walk_assignment_expression(self, it),
        }
    }

    /// `o.k = v` → `$$_w(o,"k",v,strict)`.
    fn guarded_write(&mut self, it: &AssignmentExpression<'_>, member: &Member<'_, '_>) {
        let strict = self.is_strict();
        self.member_arguments(it.left.span(), member, "$$_w(", "");
        self.value_after(it, "=", ",");
        self.edits.insert(it.span.end, if strict { ",1)" } else { ",0)" });
    }

    fn addition(&mut self, it: &AssignmentExpression<'_>, member: Option<&Member<'_, '_>>) {
        let target = it.left.span();
        match (&it.left, member) {
            (AssignmentTarget::AssignmentTargetIdentifier(name), _) => {
                if is_text(&it.right) {
                    walk::walk_assignment_expression(self, it);
                    return;
                }
                let repeatable = is_literal(&it.right) || self.repeatable_name(&it.right).is_some();
                if repeatable && !self.in_with() && name.name != "eval" {
                    // Without a call when the name holds a primitive.
                    let value = self.edits.slice(it.right.span().start, it.right.span().end);
                    let open = self.open(it.span.start);
                    let name = name.name.as_str();
                    self.edits.insert(
                        it.span.start,
                        format!("{open}typeof {name}==='object'?{name}=$$_a({name},{value}):"),
                    );
                    walk::walk_assignment_expression(self, it);
                    self.edits.insert(it.span.end, ")");
                    return;
                }
                self.visit_identifier_reference(name);
                self.value_after(it, "+=", &format!("=$$_a({},", name.name));
                self.edits.insert(it.span.end, ")");
            }
            (_, Some(member)) => {
                // A text on the right joins texts whatever is on the left.
                if is_text(&it.right) && !member.may_be_inherited() {
                    walk::walk_assignment_expression(self, it);
                    return;
                }
                let strict = self.is_strict();
                self.member_arguments(target, member, "$$_c($$_b(", ")");
                self.value_after(it, "+=", ",");
                self.edits.insert(it.span.end, if strict { ",1)" } else { ",0)" });
            }
            _ => walk::walk_assignment_expression(self, it),
        }
    }

    /// `o.k ||= v` → `($$_d(o,"k",1)?$$_q():$$_f($$_g(),v,strict))`; for a name, plain assignment after a test.
    fn logical_assignment(
        &mut self,
        it: &AssignmentExpression<'_>,
        member: Option<&Member<'_, '_>>,
    ) {
        let is_or = it.operator == AssignmentOperator::LogicalOr;
        let operator = if is_or { "||=" } else { "&&=" };
        let start = it.span.start;
        let strict = if self.is_strict() { ",1)" } else { ",0)" };
        let open = self.open(start);
        match (&it.left, member) {
            (AssignmentTarget::AssignmentTargetIdentifier(name), _) => {
                self.edits.insert(start, format!("{open}$$_p("));
                self.visit_identifier_reference(name);
                let between = if is_or { ")?$$_q():(" } else { ")?(" };
                self.value_after(it, operator, &format!("{between}{}=", name.name));
                self.edits.insert(it.span.end, if is_or { "))" } else { "):$$_q())" });
            }
            (_, Some(member)) => {
                self.edits.insert(start, open);
                self.member_arguments(it.left.span(), member, "$$_d(", ")");
                let between = if is_or { "?$$_q():$$_f($$_g()," } else { "?$$_f($$_g()," };
                self.value_after(it, operator, between);
                let end = if is_or { format!("{strict})") } else { format!("{strict}:$$_q())") };
                self.edits.insert(it.span.end, end);
            }
            _ => walk::walk_assignment_expression(self, it),
        }
    }

    fn update(&mut self, it: &UpdateExpression<'_>) {
        let Some(member) = member_of_simple(&it.argument).filter(Member::may_be_inherited) else {
            walk::walk_update_expression(self, it);
            return;
        };
        let target = it.argument.span();
        let around = (
            self.edits.slice(it.span.start, target.start),
            self.edits.slice(target.end, it.span.end),
        );
        if around.0.contains('(') || around.1.contains(')') {
            walk::walk_update_expression(self, it);
            return;
        }
        if it.prefix {
            self.edits.replace(it.span.start, target.start, "");
        }
        let step = if it.operator == UpdateOperator::Increment { 1 } else { -1 };
        let end = format!(",{step},{},{})", u8::from(it.prefix), u8::from(self.is_strict()));
        self.member_arguments(target, &member, "$$_u(", &end);
        if !it.prefix {
            self.edits.replace(target.end, it.span.end, "");
        }
    }

    /// Turns a member target into arguments: `open` object `,` key `close`.
    fn member_arguments(&mut self, target: Span, member: &Member<'_, '_>, open: &str, close: &str) {
        self.edits.insert(target.start, open);
        match member {
            Member::Named { object, name } => {
                self.visit_expression(object);
                self.edits.replace(object.span().end, target.end, format!(",\"{name}\"{close}"));
            }
            Member::Keyed { object, key } => {
                self.visit_expression(object);
                let key_span = key.span();
                self.edits.replace(object.span().end, key_span.start, ",(");
                self.visit_expression(key);
                self.edits.replace(key_span.end, target.end, format!("){close}"));
            }
        }
    }

    /// The operator becomes `text`, and the value is visited.
    fn value_after(&mut self, it: &AssignmentExpression<'_>, operator: &str, text: &str) {
        let (target, value) = (it.left.span(), it.right.span());
        self.edits.replace_operator(target.end, value.start, operator, text);
        self.visit_expression(&it.right);
    }
}

/// A literal on one line, short enough to be written twice.
fn is_literal(expression: &Expression<'_>) -> bool {
    let is_literal = match expression {
        Expression::StringLiteral(text) => !text.value.contains(['\n', '\r']),
        Expression::NumericLiteral(_)
        | Expression::BooleanLiteral(_)
        | Expression::NullLiteral(_) => true,
        _ => false,
    };
    is_literal && expression.span().size() <= LITERAL_BYTES_MAX
}

fn member_of_target<'e, 'a>(target: &'e AssignmentTarget<'a>) -> Option<Member<'e, 'a>> {
    match target {
        AssignmentTarget::StaticMemberExpression(member) => named(&member.object, &member.property),
        AssignmentTarget::ComputedMemberExpression(member) => {
            keyed(&member.object, &member.expression)
        }
        _ => None,
    }
}

fn member_of_simple<'e, 'a>(target: &'e SimpleAssignmentTarget<'a>) -> Option<Member<'e, 'a>> {
    match target {
        SimpleAssignmentTarget::StaticMemberExpression(member) => {
            named(&member.object, &member.property)
        }
        SimpleAssignmentTarget::ComputedMemberExpression(member) => {
            keyed(&member.object, &member.expression)
        }
        _ => None,
    }
}

/// `super` is no value: its members stay as they are.
fn named<'e, 'a>(
    object: &'e Expression<'a>,
    name: &'e oxc_ast::ast::IdentifierName<'a>,
) -> Option<Member<'e, 'a>> {
    (!matches!(object, Expression::Super(_)))
        .then(|| Member::Named { object, name: name.name.as_str() })
}

fn keyed<'e, 'a>(object: &'e Expression<'a>, key: &'e Expression<'a>) -> Option<Member<'e, 'a>> {
    (!matches!(object, Expression::Super(_))).then_some(Member::Keyed { object, key })
}
