//! What can be known of an expression's value without running it.

use oxc_ast::ast::{AssignmentOperator, BinaryOperator, Expression, UnaryOperator};

/// The value is a primitive or an object made on the spot: never an element or a record object.
pub(super) fn is_plain(expression: &Expression<'_>) -> bool {
    match expression {
        Expression::BooleanLiteral(_)
        | Expression::NullLiteral(_)
        | Expression::NumericLiteral(_)
        | Expression::BigIntLiteral(_)
        | Expression::StringLiteral(_)
        | Expression::TemplateLiteral(_)
        | Expression::RegExpLiteral(_)
        | Expression::ArrayExpression(_)
        | Expression::ObjectExpression(_)
        | Expression::FunctionExpression(_)
        | Expression::ArrowFunctionExpression(_)
        | Expression::ClassExpression(_)
        | Expression::UnaryExpression(_)
        | Expression::UpdateExpression(_)
        | Expression::BinaryExpression(_)
        | Expression::PrivateInExpression(_) => true,
        Expression::ParenthesizedExpression(inner) => is_plain(&inner.expression),
        Expression::SequenceExpression(inner) => inner.expressions.last().is_some_and(is_plain),
        Expression::ConditionalExpression(inner) => {
            is_plain(&inner.consequent) && is_plain(&inner.alternate)
        }
        Expression::LogicalExpression(inner) => is_plain(&inner.left) && is_plain(&inner.right),
        Expression::AssignmentExpression(inner) => match inner.operator {
            AssignmentOperator::Assign => is_plain(&inner.right),
            AssignmentOperator::LogicalAnd
            | AssignmentOperator::LogicalOr
            | AssignmentOperator::LogicalNullish => false,
            _ => true,
        },
        _ => false,
    }
}

/// The value is a string, so that `+=` with it joins texts whatever the other side is.
pub(super) fn is_text(expression: &Expression<'_>) -> bool {
    match expression {
        Expression::StringLiteral(_) | Expression::TemplateLiteral(_) => true,
        Expression::ParenthesizedExpression(inner) => is_text(&inner.expression),
        Expression::UnaryExpression(unary) => unary.operator == UnaryOperator::Typeof,
        Expression::BinaryExpression(binary) => {
            binary.operator == BinaryOperator::Addition
                && (is_text(&binary.left) || is_text(&binary.right))
        }
        _ => false,
    }
}

/// A key that is surely a number when the program runs, so no inherited name.
pub(super) fn is_number(expression: &Expression<'_>) -> bool {
    match expression {
        Expression::NumericLiteral(_) | Expression::UpdateExpression(_) => true,
        Expression::ParenthesizedExpression(inner) => is_number(&inner.expression),
        Expression::BinaryExpression(binary) => match binary.operator {
            BinaryOperator::Addition => is_number(&binary.left) && is_number(&binary.right),
            BinaryOperator::Subtraction
            | BinaryOperator::Multiplication
            | BinaryOperator::Division
            | BinaryOperator::Remainder => true,
            _ => false,
        },
        Expression::StaticMemberExpression(member) => {
            // `a[a.length] = x`: a length that is no number names no inherited property in practice, and the
            // frozen prototype still holds.
            member.property.name == "length"
        }
        _ => false,
    }
}
