"""The teacher, and the control that the paper lacks: the teacher with the same fine-tune."""

from rsae.arms import Arm

ARMS = [Arm("teacher"), Arm("teacher_ft", start="teacher")]
